/* Names and identifiers: made at random, or checked when they come from outside. */
#ifndef COMMON_IDS_H
#define COMMON_IDS_H

#include <stdbool.h>
#include <stddef.h>

/* The longest name of a runner, worker or template, without the NUL. */
#define NAME_MAX_LEN 41

/* Whether name matches [a-z][a-z0-9-]{0,40}: what may become a path, a cgroup, a host name. */
bool id_name_valid(const char *name);

/* A manager's identity: 32 hex digits, made at random with its store. */
#define MANAGER_ID_LEN 32
bool id_manager_valid(const char *id);

/* "cr-" and 8 random letters and digits: 32^8 names, so that two hardly ever meet. */
void id_runner_name(char name[NAME_MAX_LEN + 1]);

/* len random hex digits and a NUL. Aborts when the kernel gives no random bytes. */
void id_random_hex(char *hex, size_t len);

#endif
