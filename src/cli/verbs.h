/* The verbs of `codeland`: one file each, one row each in main.c. argv[0] is the verb; what they
 * return is the program's exit code.
 */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int cli_config(int argc, char **argv);
int cli_languages(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_selftest(int argc, char **argv);
int cli_serve(int argc, char **argv);
int cli_template(int argc, char **argv);
int cli_up(int argc, char **argv);
int cli_worker(int argc, char **argv);

#endif
