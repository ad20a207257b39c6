/*
 * Where names of hosts, services and users come from, nsswitch.conf(5).
 */
#ifndef ECHOD_NSS_H
#define ECHOD_NSS_H

/*
 * For a statically linked echod, before any name is looked up: use files and
 * DNS only, which are part of glibc.  Other sources are modules to load, and
 * loading one into a static program crashes unless the glibc is the very same.
 */
void nss_builtin_only(void);

#endif
