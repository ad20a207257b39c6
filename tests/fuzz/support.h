/*
 * What the fuzz targets share.
 *
 * They check with assert(3), so they are for builds without NDEBUG.
 */
#ifndef FUZZ_SUPPORT_H
#define FUZZ_SUPPORT_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "echod/address.h"

enum {
	SPEC_TEXT_SIZE = ADDRESS_HOST_SIZE + sizeof("[]:65535"),
	NETWORK_TEXT_SIZE = INET6_ADDRSTRLEN + sizeof("/128"),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Check that spec can be what address_parse() gave. */
void check_spec(const struct address_spec *spec);

/* Write spec so that address_parse() reads it as it is.  Returns text. */
char *write_spec(
    const struct address_spec *spec, char text[static SPEC_TEXT_SIZE]);

/* The same of what address_parse_network() gave. */
void check_network(const struct network *net);
char *write_network(
    const struct network *net, char text[static NETWORK_TEXT_SIZE]);

#endif
