#include "slots.h"

#include "../common/mem.h"

#include <string.h>

void slots_finish(struct slots *slots)
{
    free(slots->words);
    *slots = (struct slots){0};
}

static void grow(struct slots *slots, unsigned word_count)
{
    if (word_count <= slots->word_count)
        return;
    slots->words = mem_realloc(slots->words, word_count * sizeof(uint64_t));
    memset(slots->words + slots->word_count, 0,
           (word_count - slots->word_count) * sizeof(uint64_t));
    slots->word_count = word_count;
}

unsigned slots_take(struct slots *slots)
{
    while (slots->full_below < slots->word_count && slots->words[slots->full_below] == UINT64_MAX)
        slots->full_below++;
    unsigned word = slots->full_below;
    if (word == SLOTS_MOST / 64)
        abort();
    grow(slots, word + 1);
    unsigned bit = (unsigned)__builtin_ctzll(~slots->words[word]);
    slots->words[word] |= UINT64_C(1) << bit;
    return word * 64 + bit;
}

bool slots_claim(struct slots *slots, unsigned slot)
{
    grow(slots, slot / 64 + 1);
    uint64_t bit = UINT64_C(1) << slot % 64;
    if (slots->words[slot / 64] & bit)
        return false;
    slots->words[slot / 64] |= bit;
    return true;
}

void slots_free(struct slots *slots, unsigned slot)
{
    uint64_t bit = UINT64_C(1) << slot % 64;
    if (slot / 64 >= slots->word_count || !(slots->words[slot / 64] & bit))
        abort();
    slots->words[slot / 64] &= ~bit;
    if (slot / 64 < slots->full_below)
        slots->full_below = slot / 64;
}
