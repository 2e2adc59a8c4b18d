#include "wire.h"

static const unsigned char *take(struct wire_reader *reader, size_t len)
{
    if (reader->bad || len > reader->left) {
        reader->bad = true;
        return NULL;
    }
    const unsigned char *at = reader->at;
    reader->at += len;
    reader->left -= len;
    return at;
}

uint32_t wire_read_u32(struct wire_reader *reader)
{
    const unsigned char *at = take(reader, 4);
    return at ? wire_get_u32(at) : 0;
}

uint64_t wire_read_u64(struct wire_reader *reader)
{
    const unsigned char *at = take(reader, 8);
    return at ? (uint64_t)wire_get_u32(at) | (uint64_t)wire_get_u32(at + 4) << 32 : 0;
}

const char *wire_read_str(struct wire_reader *reader)
{
    uint32_t len = wire_read_u32(reader);
    const unsigned char *at = take(reader, (size_t)len + 1);
    if (!at || memchr(at, '\0', (size_t)len + 1) != at + len) {
        reader->bad = true;
        return "";
    }
    return (const char *)at;
}

bool wire_read_done(const struct wire_reader *reader)
{
    return !reader->bad && reader->left == 0;
}

static void put(struct wire_writer *writer, const void *data, size_t len)
{
    if (writer->full || len > writer->room - writer->len) {
        writer->full = true;
        return;
    }
    memcpy(writer->data + writer->len, data, len);
    writer->len += len;
}

void wire_write_u32(struct wire_writer *writer, uint32_t value)
{
    unsigned char bytes[4];
    wire_put_u32(bytes, value);
    put(writer, bytes, sizeof(bytes));
}

void wire_write_u64(struct wire_writer *writer, uint64_t value)
{
    wire_write_u32(writer, (uint32_t)value);
    wire_write_u32(writer, (uint32_t)(value >> 32));
}

void wire_write_str(struct wire_writer *writer, const char *text)
{
    size_t len = strlen(text);
    wire_write_u32(writer, (uint32_t)len);
    put(writer, text, len + 1);
}
