/* The settings of all three programs: one file, one table (config.def). */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include "err.h"
#include "log.h"
#include "worker_spec.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_TEXT_MAX 200
#define CONFIG_DEFAULT_PATH "/etc/codeland/codeland.conf"

typedef char config_STRING[CONFIG_TEXT_MAX + 1];
typedef char config_PATH[CONFIG_TEXT_MAX + 1];
typedef char config_NAME[CONFIG_TEXT_MAX + 1];
typedef int64_t config_INT;
typedef int64_t config_BYTES;
typedef int64_t config_MS;
typedef int64_t config_PERCENT;
typedef bool config_BOOL;

/* A plain value: config.http_listen, config.run_time, ... one member a row of config.def. */
struct config {
#define SETTING(section, key, type, unit, least, most, value, help) config_##type section##_##key;
#include "config.def"
#undef SETTING
};

/* All defaults. */
void config_defaults(struct config *config);

/* Read the INI file at path over the defaults. A missing file is an error unless may_be_missing.
 * An unknown section or key, a key set twice, a bad value or one out of bounds fails with
 * "FILE:LINE: ..." and the bound; then the config must not be used.
 */
int config_read(struct config *config, const char *path, bool may_be_missing, struct err *err);

/* As config_read for text in memory; name stands for the file in messages. Not for two threads at
 * once.
 */
int config_parse(struct config *config, const char *text, const char *name, struct err *err);

/* The [worker-host NAME] sections of the same file, which config_read has checked; appended to
 * hosts.
 */
int config_read_hosts(const char *path, bool may_be_missing, struct worker_specs *hosts,
                      struct err *err);
int config_parse_hosts(const char *text, const char *name, struct worker_specs *hosts,
                       struct err *err);

/* Set one value as from a file, "section.key=value" (the programs' --set option). config_check must
 * follow the last one.
 */
int config_set(struct config *config, const char *assignment, struct err *err);

/* What no single value shows: whether they go together. config_read and config_parse have done it.
 */
int config_check(const struct config *config, struct err *err);

/* The level that log.level names; config_read has checked it. */
enum log_level config_log_level(const struct config *config);

/* Write the table as a commented file with the defaults, or as Markdown, to stdout. */
void config_print_example(void);
void config_print_markdown(void);

#endif
