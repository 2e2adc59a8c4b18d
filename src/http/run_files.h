/* The parts of a run's body that are files and bytes: files, collect, stdinBase64. */
#ifndef HTTP_RUN_FILES_H
#define HTTP_RUN_FILES_H

#include "../manager/runs.h"

#define RUN_FILES_MAX 256
#define RUN_GLOBS_MAX 64

/* What is decoded is kept in body. program: the name of the file that holds the code, which none
 * may have; NULL: none.
 */
int run_files_parse(json_t *body, const char *program, struct run_request *request,
                    struct err *err);
int run_files_parse_collect(json_t *body, struct run_request *request, struct err *err);

/* stdin or stdinBase64. */
int run_files_parse_input(json_t *body, struct run_request *request, struct err *err);

#endif
