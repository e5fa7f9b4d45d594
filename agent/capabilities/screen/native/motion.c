/* Contents that moved, in any direction: found by hashes of pieces of rows, proved by comparing every pixel.
 *
 * Pieces of PIECE pixels from every row of the picture before go into a table; the picture now is searched for them at every
 * pixel of some rows (Rabin and Karp, 1987: a hash of a window from the sums before and
 * after it). What is found votes for its way; the way with most votes is proved on cells, the rectangles of equal cells that
 * save most are grown to the pixel and copied, and the search begins anew for what is left. */
#include "picture.h"

#include <stdlib.h>
#include <string.h>

#define PIECE 32
#define PIECE_STEP_PX 64
#define TRANSITIONS_MIN 4
#define TABLE_BITS 16
#define TABLE_SIZE (1u << TABLE_BITS)
#define TABLE_FILL_LIMIT (TABLE_SIZE / 2)
#define PROBES_LIMIT 64
#define FILTER_BITS 17
#define WAYS_BITS 11
#define WAYS_SIZE (1u << WAYS_BITS)
#define WAYS_FILL_LIMIT (WAYS_SIZE / 2)
#define ROW_STEP 8
#define VOTES_ENOUGH 96
#define VOTES_MIN 6
#define CELL 16
#define WAYS_TRIED_LIMIT 4
#define RECTANGLES_LIMIT 16
#define STEADY_PERCENT 60
#define REST_PERCENT 25
#define TAKEN 2
#define FACTOR 0x9E3779B1u /* 2^32 / golden ratio, odd */

typedef struct {
    uint32_t hash;
    int16_t x, y; /* y < 0: two pieces have this hash */
    uint8_t is_used;
} piece_t;

typedef struct {
    int dx, dy; /* from where it is now to where it was */
    int votes;
} way_t;

typedef struct {
    int x, y, width, height;
} rectangle_t;

struct motion {
    int width, height, columns, rows;
    piece_t *table;
    uint8_t *filter;
    way_t *ways;
    uint32_t *powers, *inverses, *sums;
    int32_t *useful; /* pixels of each cell that a copy would save; summed for rectangles in `total` */
    int32_t *total;
    uint8_t *equal; /* whether a cell is as it was; TAKEN if a copy has it */
    int32_t *heights, *stack;
    way_t last, before_last; /* the first way of the last two calls */
};

motion_t *motion_new(int width, int height) {
    motion_t *motion = calloc(1, sizeof *motion);
    if (!motion) return NULL;
    motion->width = width, motion->height = height;
    motion->columns = (width + CELL - 1) / CELL, motion->rows = (height + CELL - 1) / CELL;
    size_t cells = (size_t)motion->columns * motion->rows, edge = motion->columns + 2;
    motion->table = malloc(TABLE_SIZE * sizeof *motion->table);
    motion->filter = malloc((1u << FILTER_BITS) / 8);
    motion->ways = malloc(WAYS_SIZE * sizeof *motion->ways);
    motion->powers = malloc((width + 1) * sizeof(uint32_t));
    motion->inverses = malloc((width + 1) * sizeof(uint32_t));
    motion->sums = malloc((width + 1) * sizeof(uint32_t));
    motion->useful = malloc(cells * sizeof(int32_t));
    motion->total = malloc(edge * (motion->rows + 1) * sizeof(int32_t));
    motion->equal = malloc(cells);
    motion->heights = malloc(edge * sizeof(int32_t));
    motion->stack = malloc(edge * sizeof(int32_t));
    if (!motion->table || !motion->filter || !motion->ways || !motion->powers || !motion->inverses || !motion->sums ||
        !motion->useful || !motion->total || !motion->equal || !motion->heights || !motion->stack) {
        motion_free(motion);
        return NULL;
    }
    /* the inverse of an odd number modulo 2^32, by Newton's steps: each doubles the correct bits */
    uint32_t inverse = FACTOR;
    for (int step = 0; step < 5; step++) inverse *= 2 - FACTOR * inverse;
    motion->powers[0] = motion->inverses[0] = 1;
    for (int x = 1; x <= width; x++) {
        motion->powers[x] = motion->powers[x - 1] * FACTOR;
        motion->inverses[x] = motion->inverses[x - 1] * inverse;
    }
    return motion;
}

void motion_free(motion_t *motion) {
    if (!motion) return;
    free(motion->table), free(motion->filter), free(motion->ways);
    free(motion->powers), free(motion->inverses), free(motion->sums);
    free(motion->useful), free(motion->total), free(motion->equal);
    free(motion->heights), free(motion->stack);
    free(motion);
}

static int least(int one, int other) { return one < other ? one : other; }

FAST static int is_equal_row(const uint32_t *one, const uint32_t *other, int count) {
    uint32_t different = 0;
    for (int x = 0; x < count; x++) different |= one[x] ^ other[x];
    return !(different & PIXEL_MASK);
}

static uint32_t place_of(uint32_t hash, int bits) { return (hash * 0x85EBCA6Bu) >> (32 - bits); }

/* ---- which ways there are ------------------------------------------------------------------------------------------ */

static int has_contrast(const uint32_t *piece) {
    int transitions = 0;
    for (int x = 1; x < PIECE; x++) transitions += ((piece[x] ^ piece[x - 1]) & PIXEL_MASK) != 0;
    return transitions >= TRANSITIONS_MIN;
}

/* The piece with this hash, or the free place for it; NULL where too many others are in the way: contents that were made for
 * that are not to hold us up. */
static piece_t *find_piece(motion_t *motion, uint32_t hash) {
    uint32_t at = place_of(hash, TABLE_BITS);
    for (int probes = 0; probes < PROBES_LIMIT; probes++, at = (at + 1) & (TABLE_SIZE - 1))
        if (!motion->table[at].is_used || motion->table[at].hash == hash) return motion->table + at;
    return NULL;
}

static int put_piece(motion_t *motion, uint32_t hash, int x, int y) {
    piece_t *piece = find_piece(motion, hash);
    if (!piece) return 0;
    if (piece->is_used) {
        piece->y = -1; /* two of them: neither says which way it went */
        return 0;
    }
    *piece = (piece_t){hash, (int16_t)x, (int16_t)y, 1};
    uint32_t bit = place_of(hash, FILTER_BITS);
    motion->filter[bit >> 3] |= 1 << (bit & 7);
    return 1;
}

static void put_pieces(motion_t *motion, const pair_t *pair) {
    memset(motion->table, 0, TABLE_SIZE * sizeof *motion->table);
    memset(motion->filter, 0, (1u << FILTER_BITS) / 8);
    uint32_t left = TABLE_FILL_LIMIT;
    int step = PIECE_STEP_PX;
    while ((int64_t)pair->height * (pair->width / step) > TABLE_FILL_LIMIT) step *= 2;
    for (int y = 0; y < pair->height; y++) {
        const uint32_t *before = pair->before + y * pair->before_stride;
        for (int x = 0; x + PIECE <= pair->width && left; x += step) {
            /* of rows that repeat the one above, as in large letters, only the first says where it went */
            if ((y && is_equal_row(before + x, before + x - pair->before_stride, PIECE)) || !has_contrast(before + x))
                continue;
            uint32_t hash = 0;
            for (int place = 0; place < PIECE; place++) hash += (before[x + place] & PIXEL_MASK) * motion->powers[place];
            left -= put_piece(motion, hash, x, y);
        }
    }
}

static int vote(motion_t *motion, int dx, int dy, uint32_t *left) {
    uint32_t at = place_of((uint32_t)dx * FACTOR + (uint32_t)dy, WAYS_BITS);
    way_t *way = motion->ways + at;
    while (way->votes && (way->dx != dx || way->dy != dy)) {
        at = (at + 1) & (WAYS_SIZE - 1);
        way = motion->ways + at;
    }
    if (!way->votes) {
        if (!*left) return 0;
        --*left;
        way->dx = dx, way->dy = dy;
    }
    return ++way->votes;
}

FAST static void sum_row(const uint32_t *row, const uint32_t *powers, int width, uint32_t *sums) {
    uint32_t sum = 0;
    for (int x = 0; x < width; x++) {
        sums[x] = sum;
        sum += (row[x] & PIXEL_MASK) * powers[x];
    }
    sums[width] = sum;
}

/* Whether one way has votes enough. */
static int search_row(motion_t *motion, const pair_t *pair, int y, uint32_t *left) {
    const uint32_t *now = pair->now + y * pair->now_stride, *before = pair->before + y * pair->before_stride;
    sum_row(now, motion->powers, pair->width, motion->sums);
    for (int x = 0; x + PIECE <= pair->width; x++) {
        uint32_t hash = (motion->sums[x + PIECE] - motion->sums[x]) * motion->inverses[x];
        uint32_t bit = place_of(hash, FILTER_BITS);
        if (!(motion->filter[bit >> 3] >> (bit & 7) & 1)) continue;
        const piece_t *piece = find_piece(motion, hash);
        if (!piece || !piece->is_used || piece->y < 0 || (piece->x == x && piece->y == y)) continue;
        const uint32_t *there = pair->before + piece->y * pair->before_stride + piece->x;
        if (!is_equal_row(there, now + x, PIECE) || is_equal_row(before + x, now + x, PIECE)) continue;
        if (y && is_equal_row(now + x, now + x - pair->now_stride, PIECE)) continue;
        if (vote(motion, piece->x - x, piece->y - y, left) >= VOTES_ENOUGH) return 1;
    }
    return 0;
}

/* The way that most pieces went; its votes are 0 if there is none. */
static way_t best_way(motion_t *motion, const pair_t *pair) {
    way_t best = {0, 0, 0};
    put_pieces(motion, pair);
    memset(motion->ways, 0, WAYS_SIZE * sizeof *motion->ways);
    uint32_t left = WAYS_FILL_LIMIT;
    int is_enough = 0;
    for (int y = ROW_STEP / 2; y < pair->height && !is_enough; y += ROW_STEP) is_enough = search_row(motion, pair, y, &left);
    for (uint32_t at = 0; at < WAYS_SIZE; at++)
        if (motion->ways[at].votes > best.votes) best = motion->ways[at];
    if (best.votes < VOTES_MIN) best.votes = 0;
    return best;
}

/* ---- what a way saves ---------------------------------------------------------------------------------------------- */

FAST static int different_pixels(const uint32_t *one, const uint32_t *other, int count) {
    int different = 0;
    for (int x = 0; x < count; x++) different += ((one[x] ^ other[x]) & PIXEL_MASK) != 0;
    return different;
}

/* How many pixels of each cell of a row of cells differ; their sum. */
static int64_t count_band(motion_t *motion, const pair_t *pair, int row) {
    int32_t *useful = motion->useful + row * motion->columns;
    int64_t sum = 0;
    memset(useful, 0, motion->columns * sizeof(int32_t));
    for (int y = row * CELL; y < least((row + 1) * CELL, pair->height); y++) {
        const uint32_t *before = pair->before + y * pair->before_stride, *now = pair->now + y * pair->now_stride;
        for (int x = 0; x < pair->width; x += CELL) {
            int count = different_pixels(before + x, now + x, least(CELL, pair->width - x));
            useful[x / CELL] += count;
            sum += count;
        }
    }
    return sum;
}

/* Which cells of a row of cells are wholly as they were at the other end of the way. */
static void compare_band(motion_t *motion, const pair_t *pair, int row, way_t way) {
    uint8_t *equal = motion->equal + row * motion->columns;
    int y = row * CELL, end = least(y + CELL, pair->height);
    memset(equal, 0, motion->columns);
    if (y + way.dy < 0 || end + way.dy > pair->height) return;
    for (int x = 0; x < pair->width; x += CELL) {
        int count = least(CELL, pair->width - x), is_equal = x + way.dx >= 0 && x + count + way.dx <= pair->width;
        for (int line = y; line < end && is_equal; line++)
            is_equal = is_equal_row(pair->before + (line + way.dy) * pair->before_stride + x + way.dx,
                                    pair->now + line * pair->now_stride + x, count);
        equal[x / CELL] = (uint8_t)is_equal;
    }
}

/* Both, of all cells, while a row of them is in the cache; how many pixels differ. */
static int64_t survey(motion_t *motion, const pair_t *pair, way_t way) {
    int64_t sum = 0;
    for (int row = 0; row * CELL < pair->height; row++) {
        sum += count_band(motion, pair, row);
        compare_band(motion, pair, row, way);
    }
    return sum;
}

/* Sums of `useful` of all cells to the left and above, for the sum of any rectangle. */
static void sum_useful(motion_t *motion, int columns, int rows) {
    int edge = motion->columns + 2;
    memset(motion->total, 0, edge * sizeof(int32_t));
    for (int row = 0; row < rows; row++) {
        int32_t *above = motion->total + row * edge, *here = above + edge, sum = 0;
        here[0] = 0;
        for (int column = 0; column < columns; column++) {
            sum += motion->useful[row * motion->columns + column];
            here[column + 1] = above[column + 1] + sum;
        }
    }
}

static int32_t useful_in(const motion_t *motion, rectangle_t one) {
    int edge = motion->columns + 2;
    const int32_t *top = motion->total + one.y * edge, *end = top + one.height * edge;
    return end[one.x + one.width] - end[one.x] - top[one.x + one.width] + top[one.x];
}

/* The rectangle of equal cells that saves most, in cells (largest rectangle under a histogram, row by row). */
static int32_t best_rectangle(motion_t *motion, int columns, int rows, rectangle_t *best) {
    int32_t most = 0, *heights = motion->heights, *stack = motion->stack;
    memset(heights, 0, (columns + 1) * sizeof(int32_t));
    for (int row = 0; row < rows; row++) {
        int depth = 0;
        for (int column = 0; column <= columns; column++) {
            int is_equal = column < columns && motion->equal[row * motion->columns + column] == 1;
            heights[column] = is_equal ? heights[column] + 1 : 0;
            while (depth && heights[stack[depth - 1]] >= heights[column]) {
                int height = heights[stack[--depth]], left = depth ? stack[depth - 1] + 1 : 0;
                if (!height) continue;
                rectangle_t one = {left, row - height + 1, column - left, height};
                int32_t saved = useful_in(motion, one);
                if (saved > most) most = saved, *best = one;
            }
            stack[depth++] = column;
        }
    }
    return most;
}

static void take_cells(motion_t *motion, rectangle_t one) {
    for (int row = one.y; row < one.y + one.height; row++) {
        memset(motion->equal + row * motion->columns + one.x, TAKEN, one.width);
        memset(motion->useful + row * motion->columns + one.x, 0, one.width * sizeof(int32_t));
    }
}

/* ---- to the pixel, and done ---------------------------------------------------------------------------------------- */

static int is_equal_block(const pair_t *pair, way_t way, rectangle_t one) {
    if (one.x < 0 || one.y < 0 || one.x + one.width > pair->width || one.y + one.height > pair->height) return 0;
    if (one.x + way.dx < 0 || one.y + way.dy < 0 || one.x + one.width + way.dx > pair->width ||
        one.y + one.height + way.dy > pair->height)
        return 0;
    for (int y = one.y; y < one.y + one.height; y++)
        if (!is_equal_row(pair->before + (y + way.dy) * pair->before_stride + one.x + way.dx,
                          pair->now + y * pair->now_stride + one.x, one.width))
            return 0;
    return 1;
}

static int is_free(const motion_t *motion, rectangle_t one) {
    for (int row = one.y / CELL; row * CELL < one.y + one.height; row++)
        for (int column = one.x / CELL; column * CELL < one.x + one.width; column++)
            if (motion->equal[row * motion->columns + column] == TAKEN) return 0;
    return 1;
}

/* Whether a line beside a copy belongs to it: where cells are taken another copy brings it. */
static int is_more(const motion_t *motion, const pair_t *pair, way_t way, rectangle_t line) {
    return is_equal_block(pair, way, line) && is_free(motion, line);
}

static rectangle_t grown(const motion_t *motion, const pair_t *pair, way_t way, rectangle_t one) {
    int steps;
    for (steps = CELL; steps-- && is_more(motion, pair, way, (rectangle_t){one.x, one.y - 1, one.width, 1});)
        one.y--, one.height++;
    for (steps = CELL; steps-- && is_more(motion, pair, way, (rectangle_t){one.x, one.y + one.height, one.width, 1});)
        one.height++;
    for (steps = CELL; steps-- && is_more(motion, pair, way, (rectangle_t){one.x - 1, one.y, 1, one.height});)
        one.x--, one.width++;
    for (steps = CELL; steps-- && is_more(motion, pair, way, (rectangle_t){one.x + one.width, one.y, 1, one.height});)
        one.width++;
    return one;
}

static void carry_out(uint32_t *before, ptrdiff_t stride, way_t way, rectangle_t one) {
    size_t size = one.width * sizeof(uint32_t);
    for (int index = 0; index < one.height; index++) {
        int y = one.y + (way.dy >= 0 ? index : one.height - 1 - index);
        memmove(before + y * stride + one.x, before + (y + way.dy) * stride + one.x + way.dx, size);
    }
}

/* Whether a copy writes what another one reads. */
static int is_in_the_way(way_t way, rectangle_t writer, rectangle_t reader) {
    int x = reader.x + way.dx, y = reader.y + way.dy;
    return writer.x < x + reader.width && x < writer.x + writer.width && writer.y < y + reader.height &&
           y < writer.y + writer.height;
}

/* Readers before writers. Rectangles that do not overlap always have such an order, since all go the same way (Guibas and
 * Yao, 1983); the few pixels by which grown ones may overlap can prevent it, so `find_copies` looks again. */
static void put_in_order(way_t way, rectangle_t *found, int count) {
    for (int done = 0; done < count; done++) {
        int next = done;
        for (int candidate = done; candidate < count; candidate++) {
            int is_blocked = 0;
            for (int other = done; other < count && !is_blocked; other++)
                is_blocked = other != candidate && is_in_the_way(way, found[candidate], found[other]);
            if (is_blocked) continue;
            next = candidate;
            break;
        }
        rectangle_t one = found[next];
        found[next] = found[done], found[done] = one;
    }
}

/* The rectangles that save most of what the last survey counted, in the order in which they are to be copied. */
static int pick_rectangles(motion_t *motion, const pair_t *pair, way_t way, int limit, int gain_pixels, rectangle_t *found,
                           int64_t *saved) {
    int columns = (pair->width + CELL - 1) / CELL, rows = (pair->height + CELL - 1) / CELL, count = 0;
    for (*saved = 0; count < limit; count++) {
        rectangle_t cells = {0, 0, 0, 0};
        sum_useful(motion, columns, rows);
        int32_t gain = best_rectangle(motion, columns, rows, &cells);
        if (gain < gain_pixels) break;
        *saved += gain;
        take_cells(motion, cells);
        rectangle_t one = {cells.x * CELL, cells.y * CELL, cells.width * CELL, cells.height * CELL};
        one.width = least(one.width, pair->width - one.x), one.height = least(one.height, pair->height - one.y);
        found[count] = one;
    }
    for (int index = 0; index < count; index++) found[index] = grown(motion, pair, way, found[index]);
    put_in_order(way, found, count);
    return count;
}

/* As `pick_rectangles`, along the way on which contents moved in the last two pictures; 0 if that explains too little. */
static int steady_rectangles(motion_t *motion, const pair_t *pair, int limit, int gain_pixels, rectangle_t *found,
                             int64_t *useful, int64_t *saved) {
    way_t last = motion->last, before_last = motion->before_last;
    if (!last.votes || last.dx != before_last.dx || last.dy != before_last.dy) return 0;
    *useful = survey(motion, pair, last);
    int many = pick_rectangles(motion, pair, last, limit, gain_pixels, found, saved);
    return *saved * 100 >= *useful * STEADY_PERCENT ? many : 0;
}

int find_copies(motion_t *motion, const pair_t *pair, uint32_t *before, int limit, int gain_pixels, int32_t *out) {
    int count = 0;
    int64_t first_useful = 0;
    way_t first_way = {0, 0, 0};
    if (pair->width > motion->width || pair->height > motion->height) return 0;
    for (int tried = 0; tried < WAYS_TRIED_LIMIT && count < limit; tried++) {
        rectangle_t found[RECTANGLES_LIMIT];
        int many = 0, room = least(limit - count, RECTANGLES_LIMIT), first = count;
        int64_t useful = 0, saved = 0;
        way_t way = motion->last;
        if (!tried) many = steady_rectangles(motion, pair, room, gain_pixels, found, &useful, &saved);
        if (!many) {
            way = best_way(motion, pair);
            if (!way.votes) break;
            useful = survey(motion, pair, way);
            many = pick_rectangles(motion, pair, way, room, gain_pixels, found, &saved);
        }
        for (int index = 0; index < many; index++) {
            rectangle_t one = found[index];
            /* an earlier copy may have written what this one would read */
            if (index && !is_equal_block(pair, way, one)) continue;
            carry_out(before, pair->before_stride, way, one);
            int32_t made[6] = {one.x + way.dx, one.y + way.dy, one.width, one.height, one.x, one.y};
            memcpy(out + 6 * count++, made, sizeof made);
        }
        if (!tried) first_useful = useful, first_way = way;
        /* a search for the little that is left would cost more than it saves */
        if (count == first || (useful - saved) * 100 < first_useful * REST_PERCENT) break;
    }
    motion->before_last = motion->last, motion->last = first_way;
    return count;
}
