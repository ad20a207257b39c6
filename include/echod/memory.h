/*
 * Memory of the parent alone: a child of fork(2) does not get it.
 *
 * So fork(2) need not copy its page tables, and the parent's next write to it
 * is no page fault; and the table of clients is nothing that a child knows.
 */
#ifndef ECHOD_MEMORY_H
#define ECHOD_MEMORY_H

#include <stddef.h>

/* Allocate size bytes, all zero, aligned to a page.  NULL with errno set. */
void *memory_new(size_t size);

/* Give size bytes of memory_new() back. */
void memory_free(void *memory, size_t size);

#endif
