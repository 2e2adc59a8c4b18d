#include "auth.h"

#include "ws.h"

#include <string.h>
#include <strings.h>

static struct http_slice bearer(struct http_slice value)
{
    static const char scheme[] = "Bearer ";
    size_t len = sizeof(scheme) - 1;
    if (value.len <= len || strncasecmp(value.text, scheme, len) != 0)
        return (struct http_slice){0};
    while (len < value.len && value.text[len] == ' ')
        len++;
    return (struct http_slice){value.text + len, value.len - len};
}

/* A browser's script can set no header of a WebSocket but this one. */
static struct http_slice offered(struct http_slice protocols)
{
    struct http_slice protocol;
    size_t len = strlen(WS_TOKEN_PROTOCOL);
    while (http_list_next(&protocols, &protocol))
        if (protocol.len > len && memcmp(protocol.text, WS_TOKEN_PROTOCOL, len) == 0)
            return (struct http_slice){protocol.text + len, protocol.len - len};
    return (struct http_slice){0};
}

int auth_check(const struct http_head *head, const struct route *route, struct exchange *exchange,
               struct err *err)
{
    if (route->open)
        return 0;
    struct http_slice text = bearer(head->authorization);
    if (!text.text)
        text = head->auth_token;
    if (!text.text && head->upgrade_ws)
        text = offered(head->ws_protocols);
    if (!text.text)
        return err_set(err, ERR_UNAUTHORIZED,
                       "a token is needed: the header \"Authorization: Bearer TOKEN\" or "
                       "\"auth-token: TOKEN\"");
    const struct token *token = tokens_check(exchange->app->tokens, text.text, text.len);
    if (!token)
        return err_set(err, ERR_UNAUTHORIZED, "the token is unknown or has expired");
    memcpy(exchange->owner, token->owner, sizeof(exchange->owner));
    exchange->admin = token->role == TOKEN_ADMIN;
    if (route->admin && !exchange->admin)
        return err_set(err, ERR_FORBIDDEN, "this needs an admin's token");
    return 0;
}

bool auth_owns(const struct exchange *exchange, const char *owner)
{
    return exchange->admin || (owner[0] && strcmp(owner, exchange->owner) == 0);
}
