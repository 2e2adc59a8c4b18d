#include "mem.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

_Noreturn void mem_exhausted(void)
{
    static const char text[] = "level=error event=\"out of memory\"\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)written;
    abort();
}

void *mem_calloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        mem_exhausted();
    return memory;
}

void *mem_realloc(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    if (!memory)
        mem_exhausted();
    return memory;
}

char *mem_strdup(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        mem_exhausted();
    return copy;
}
