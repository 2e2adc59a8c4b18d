#include "ledger.h"

#include "../common/fd.h"
#include "../common/log.h"
#include "../common/mem.h"
#include "../common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x3152454744454c43 /* "CLEDGER1" */
#define BOOT_ID_LEN 36

struct note {
    uint64_t key; /* 0: none yet */
    mono_us at;
};

/* Two rings, each with the place of its oldest note. */
struct page {
    uint64_t magic;
    char boot[BOOT_ID_LEN + 4];
    mono_us since; /* nothing before is known */
    uint32_t next_started, next_withdrawn;
    struct note started[LEDGER_STARTED], withdrawn[LEDGER_WITHDRAWN];
};

struct ledger {
    const struct clock *clock;
    struct page *page;
};

static int read_boot_id(char id[BOOT_ID_LEN + 4], struct err *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    char text[64];
    memset(id, 0, BOOT_ID_LEN + 4);
    ssize_t len = fd_read_file(AT_FDCWD, path, text, sizeof(text));
    if (len < BOOT_ID_LEN)
        return err_sys(err, ERR_INTERNAL, len < 0 ? errno : EIO, "%s", path);
    memcpy(id, text, BOOT_ID_LEN);
    return 0;
}

/* A file of another form, of another boot (whose last notes never reached a disk), or with places
 * that are none, says nothing.
 */
static bool is_usable(const struct page *page, const char *boot)
{
    return page->magic == MAGIC && memcmp(page->boot, boot, sizeof(page->boot)) == 0 &&
           page->next_started < LEDGER_STARTED && page->next_withdrawn < LEDGER_WITHDRAWN;
}

static void begin_anew(struct page *page, const char *boot, mono_us now)
{
    memset(page, 0, sizeof(*page));
    memcpy(page->boot, boot, sizeof(page->boot));
    page->since = now;
    page->magic = MAGIC;
}

/* All of it is allocated now: a store to a page that a full disk cannot back would be the end. */
static struct page *map_file(const char *path, struct err *why)
{
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int failed = fd < 0 ? errno : posix_fallocate(fd, 0, sizeof(struct page));
    void *page = failed
                     ? MAP_FAILED
                     : mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        return page;
    err_sys(why, ERR_INTERNAL, failed ? failed : errno, "%s", path);
    return NULL;
}

/* A worker must start also when its folder is full. What it notes goes with it then; an earlier
 * file must go at once, because it would claim to know what this worker begins.
 */
static struct page *map_nothing(const char *path, const struct err *why, struct err *err)
{
    log_warn("which runs have begun will not outlive this worker", LOG_ERR(why));
    if (unlink(path) != 0 && errno != ENOENT) {
        err_sys(err, ERR_INTERNAL, errno, "%s", path);
        return NULL;
    }
    void *page =
        mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        mem_exhausted();
    return page;
}

struct ledger *ledger_open(const char *run_dir, const struct clock *clock, struct err *err)
{
    char path[PATH_MAX], boot[BOOT_ID_LEN + 4];
    if (read_boot_id(boot, err) != 0)
        return NULL;
    if (!str_format(path, sizeof(path), "%s/" LEDGER_NAME, run_dir)) {
        err_set(err, ERR_INTERNAL, "path too long: %s", run_dir);
        return NULL;
    }
    struct err why;
    struct page *page = map_file(path, &why);
    if (!page)
        page = map_nothing(path, &why, err);
    if (!page)
        return NULL;
    struct ledger *ledger = mem_new(struct ledger);
    ledger->clock = clock;
    ledger->page = page;
    if (!is_usable(page, boot))
        begin_anew(page, boot, clock_now(clock));
    return ledger;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    munmap(ledger->page, sizeof(struct page));
    free(ledger);
}

static bool holds(const struct note *notes, size_t count, uint64_t key)
{
    for (size_t i = 0; i < count; i++)
        if (notes[i].key == key)
            return true;
    return false;
}

static void put(struct note *notes, uint32_t count, uint32_t *next, uint64_t key, mono_us now)
{
    notes[*next] = (struct note){.key = key, .at = now};
    *next = (*next + 1) % count;
}

bool ledger_start(struct ledger *ledger, uint64_t key)
{
    struct page *page = ledger->page;
    /* The first place is free until something has been withdrawn, which hardly ever happens. */
    if (page->withdrawn[0].key != 0 && holds(page->withdrawn, LEDGER_WITHDRAWN, key))
        return false;
    put(page->started, LEDGER_STARTED, &page->next_started, key, clock_now(ledger->clock));
    return true;
}

struct ledger_word ledger_withdraw(struct ledger *ledger, uint64_t key)
{
    struct page *page = ledger->page;
    mono_us now = clock_now(ledger->clock);
    const struct note *oldest = &page->started[page->next_started];
    const struct note *replaced = &page->withdrawn[page->next_withdrawn];
    if (holds(page->started, LEDGER_STARTED, key))
        return (struct ledger_word){.started = true};
    struct ledger_word word = {.covered_us = now - (oldest->key ? oldest->at : page->since)};
    if (holds(page->withdrawn, LEDGER_WITHDRAWN, key))
        return word;
    if (replaced->key && now - replaced->at < LEDGER_WITHDRAWN_US)
        return (struct ledger_word){0};
    put(page->withdrawn, LEDGER_WITHDRAWN, &page->next_withdrawn, key, now);
    return word;
}
