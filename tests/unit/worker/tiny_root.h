/* A template for tests, made of this machine's own programs in a second: a shell and a few tools
 * with the libraries they need.
 */
#ifndef TESTS_WORKER_TINY_ROOT_H
#define TESTS_WORKER_TINY_ROOT_H

/* Makes STATE_DIR/templates/NAME. Fails the test when it cannot. */
void tiny_root_make(const char *state_dir, const char *name);

#endif
