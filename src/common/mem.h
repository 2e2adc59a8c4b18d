/* Memory that is either there or ends the program, and clean-up by scope. */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>
#include <stdlib.h>

/* Like calloc(count, size), realloc and strdup, but they abort instead of returning NULL: a
 * daemon that runs out of memory is restarted by its supervisor and adopts what it owned.
 */
void *mem_calloc(size_t count, size_t size);
void *mem_realloc(void *old, size_t size);
char *mem_strdup(const char *text);

_Noreturn void mem_exhausted(void);

#define mem_new(type) ((type *)mem_calloc(1, sizeof(type)))

static inline void mem_free_indirect(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

/* `cleanup_free char *text = ...` frees text when the scope ends. */
#define cleanup_free __attribute__((cleanup(mem_free_indirect)))

/* Takes the value out of a cleanup variable, which is NULL afterwards. */
#define steal_ptr(pointer)                                                                         \
    ({                                                                                             \
        __auto_type stolen_ = (pointer);                                                           \
        (pointer) = NULL;                                                                          \
        stolen_;                                                                                   \
    })

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
