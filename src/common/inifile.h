/* An INI text, read strictly: what cannot be understood is an error with its line, never dropped.
 */
#ifndef COMMON_INIFILE_H
#define COMMON_INIFILE_H

#include "err.h"

#define INIFILE_BYTES_MAX (256 * 1024)

/* One `key = value` below `[section]` ("" before any); 0, or -1 with err, which ends the reading.
 */
typedef int (*inifile_value_cb)(const char *section, const char *key, const char *value, int line,
                                void *data, struct err *err);

/* Calls back for each value, in order, before it returns. Fails with "NAME:LINE: ..." on what the
 * callback refused, on a line that is longer than 1000 bytes, and on one that is neither a section,
 * a value nor a comment. Not for two threads at once: inih's settings are the process's.
 */
int inifile_parse(const char *text, const char *name, inifile_value_cb on_value, void *data,
                  struct err *err);

/* A whole file as text, which the caller frees; NULL with err when it cannot be read, is longer
 * than INIFILE_BYTES_MAX or has a NUL in it. err->sys_errno tells a file that is not there.
 */
char *inifile_read(const char *path, struct err *err);

#endif
