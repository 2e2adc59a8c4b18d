/* `crunner collect BYTES FILES PATTERN...`: the second job of this program. The worker starts it
 * after a run, as an ordinary program of the runner's user in the run's working directory, and
 * reads from its standard output what the patterns match: AGENT_FOUND, FILE_DATA.., and
 * AGENT_COLLECTED last. PID 1 has no part in it, so that neither a large folder nor a slow reader
 * holds it up.
 */
#ifndef AGENT_COLLECT_H
#define AGENT_COLLECT_H

#define COLLECT_WORD "collect"

/* argv: from BYTES on. Returns the exit code. */
int collect_main(int argc, char **argv);

#endif
