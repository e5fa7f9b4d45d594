/* Which pixels differ, and how they are written down. */
#include "picture.h"

#include <string.h>

static int least(int one, int other) { return one < other ? one : other; }

FAST static int rows_differ(const uint32_t *before, ptrdiff_t before_stride, const uint32_t *now, ptrdiff_t now_stride,
                            int width, int height) {
    for (int y = 0; y < height; y++, before += before_stride, now += now_stride) {
        uint32_t different = 0;
        for (int x = 0; x < width; x++) different |= before[x] ^ now[x];
        if (different & PIXEL_MASK) return 1;
    }
    return 0;
}

void changed_tiles(const pair_t *pair, const uint8_t *marked, uint8_t *differing, ptrdiff_t mask_stride) {
    for (int y = 0; y < pair->height; y += TILE, marked += mask_stride, differing += mask_stride) {
        const uint32_t *before = pair->before + y * pair->before_stride;
        const uint32_t *now = pair->now + y * pair->now_stride;
        int height = least(TILE, pair->height - y);
        for (int x = 0; x < pair->width; x += TILE)
            differing[x / TILE] = marked[x / TILE] &&
                                  rows_differ(before + x, pair->before_stride, now + x, pair->now_stride,
                                              least(TILE, pair->width - x), height);
    }
}

/* What differs in one tile: first and end column, first and end row; 0 if nothing does. */
FAST static int difference(const uint32_t *before, ptrdiff_t before_stride, const uint32_t *now, ptrdiff_t now_stride,
                           int width, int height, int *bounds) {
    uint32_t columns[TILE] = {0};
    int first = -1, end = 0;
    for (int y = 0; y < height; y++, before += before_stride, now += now_stride) {
        uint32_t different = 0;
        for (int x = 0; x < width; x++) {
            uint32_t one = before[x] ^ now[x];
            columns[x] |= one;
            different |= one;
        }
        if (!(different & PIXEL_MASK)) continue;
        if (first < 0) first = y;
        end = y + 1;
    }
    if (first < 0) return 0;
    int left = 0, right = width;
    while (!(columns[left] & PIXEL_MASK)) left++;
    while (!(columns[right - 1] & PIXEL_MASK)) right--;
    bounds[0] = left, bounds[1] = right, bounds[2] = first, bounds[3] = end;
    return 1;
}

int trimmed_rectangles(const pair_t *pair, const uint8_t *mask, ptrdiff_t mask_stride, int tiles_limit, int32_t *out) {
    int count = 0;
    for (int y = 0; y < pair->height; y += TILE, mask += mask_stride) {
        int row_from = count;
        for (int x = 0; x < pair->width; x += TILE) {
            int bounds[4];
            const uint32_t *before = pair->before + y * pair->before_stride + x;
            const uint32_t *now = pair->now + y * pair->now_stride + x;
            if (!mask[x / TILE] || !difference(before, pair->before_stride, now, pair->now_stride,
                                               least(TILE, pair->width - x), least(TILE, pair->height - y), bounds))
                continue;
            int32_t *last = count > row_from ? out + 4 * (count - 1) : NULL;
            int left = x + bounds[0], top = y + bounds[2], height = bounds[3] - bounds[2];
            if (last && last[1] == top && last[3] == height && last[0] + last[2] == left &&
                x + bounds[1] - last[0] <= tiles_limit * TILE) {
                last[2] = x + bounds[1] - last[0];
                continue;
            }
            int32_t *one = out + 4 * count++;
            one[0] = left, one[1] = top, one[2] = bounds[1] - bounds[0], one[3] = height;
        }
    }
    return count;
}

/* One byte after the other, without borrows between them. */
static inline uint32_t less(uint32_t one, uint32_t other) {
    const uint32_t high = 0x80808080u;
    return ((one | high) - (other & ~high)) ^ ((one ^ ~other) & high);
}

FAST static void write_row(const uint32_t *words, int width, uint32_t *row, uint8_t *out) {
    for (int x = 0; x < width; x++) {
        uint32_t green = (words[x] >> 8) & 0xFF;
        row[x] = less(words[x], green | green << 16);
    }
    uint32_t left = 0;
    for (int x = 0; x < width; x++) {
        uint32_t residue = less(row[x], left);
        left = row[x];
        memcpy(out + 3 * (size_t)x, &residue, 4);
    }
}

void write_residues(const uint32_t *words, ptrdiff_t stride, int width, int height, uint32_t *row, uint8_t *out) {
    for (int y = 0; y < height; y++, words += stride, out += 3 * (size_t)width) write_row(words, width, row, out);
}
