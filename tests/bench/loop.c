/*
 * The other kind of design: one process, one thread, and an event loop, with
 * libuv.  It is compared with echod, and good for nothing else.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* What a client did not take at once; nothing is read until it has. */
struct rest {
	uv_write_t write;
	char data[];
};

static char buffer[64 * 1024]; /* as large as echod's */

static void
on_close(uv_handle_t *client)
{
	free(client);
}

static void
on_buffer(uv_handle_t *client, size_t suggested, uv_buf_t *buf)
{
	(void)client;
	(void)suggested;
	*buf = uv_buf_init(buffer, sizeof(buffer));
}

static void on_read(uv_stream_t *client, ssize_t n, const uv_buf_t *buf);

static void
on_written(uv_write_t *write, int status)
{
	uv_stream_t *client = write->handle;

	free(write->data);
	if (status == 0)
		uv_read_start(client, on_buffer, on_read);
	else if (!uv_is_closing((uv_handle_t *)client))
		uv_close((uv_handle_t *)client, on_close);
}

static void
on_read(uv_stream_t *client, ssize_t n, const uv_buf_t *buf)
{
	uv_buf_t out = uv_buf_init(buf->base, n > 0 ? (unsigned int)n : 0);

	if (n == 0)
		return;

	int done = n > 0 ? uv_try_write(client, &out, 1) : UV_EOF;

	if (done == UV_EAGAIN)
		done = 0;
	if (done == n)
		return;

	const size_t left = done < 0 ? 0 : (size_t)(n - done);
	struct rest *rest = done < 0 ? NULL : malloc(sizeof(*rest) + left);

	if (rest == NULL) {
		uv_close((uv_handle_t *)client, on_close);
		return;
	}
	uv_read_stop(client);
	rest->write.data = rest;
	memcpy(rest->data, buf->base + done, left);
	out = uv_buf_init(rest->data, (unsigned int)left);
	uv_write(&rest->write, client, &out, 1, on_written);
}

static void
on_connection(uv_stream_t *listener, int status)
{
	uv_tcp_t *client = malloc(sizeof(*client));

	if (status != 0 || client == NULL)
		errx(1, "accept");
	uv_tcp_init(listener->loop, client);
	if (uv_accept(listener, (uv_stream_t *)client) == 0) {
		uv_tcp_nodelay(client, 1);
		uv_read_start((uv_stream_t *)client, on_buffer, on_read);
	} else {
		uv_close((uv_handle_t *)client, on_close);
	}
}

int
main(int argc, char *argv[])
{
	uv_loop_t *loop = uv_default_loop();
	struct sockaddr_in here;
	uv_tcp_t listener;

	uv_ip4_addr("127.0.0.1", argc > 1 ? atoi(argv[1]) : 0, &here);
	uv_tcp_init(loop, &listener);
	if (uv_tcp_bind(&listener, (const struct sockaddr *)&here, 0) != 0 ||
	    uv_listen((uv_stream_t *)&listener, 4096, on_connection) != 0)
		errx(1, "listen");
	return uv_run(loop, UV_RUN_DEFAULT);
}
