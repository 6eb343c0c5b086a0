"""Compiled loops over stored values: each block is read once, and no sparse matrix is made of it.

They run without the interpreter's lock, beside the thread that reads the next block. Nothing is read or written
out of bounds whatever a file holds: row pointers are checked when a matrix is opened, indices here.
Arrays: `values` and `indices` are the stored elements from number `start` on; `indptr` (int64) is that of the
whole matrix; `limit` is the largest count, in the type of `values`. Status: OK or what was found wrong.
"""

import numpy as np
from numba import njit

OK, BAD_VALUE, BAD_INDEX, TOO_LARGE = 0, 1, 2, 3
LARGEST = np.iinfo(np.int32).max

# Position of the lowest set bit by a de Bruijn sequence: (bit * MAGIC) >> 58 differs for each of the 64 bits.
_MAGIC = 0x03F79D71B4CB0A89
_POSITION = np.zeros(64, dtype=np.int64)
for _bit in range(64):
    _POSITION[((_MAGIC << _bit) & (2**64 - 1)) >> 58] = _bit


@njit(nogil=True)
def _outside(indices, size):
    low = high = indices.dtype.type(0)
    for k in range(len(indices)):
        low = min(low, indices[k])
        high = max(high, indices[k])
    return low < 0 or high >= size


@njit(nogil=True)
def row_totals(values, indices, start, indptr, first, last, limit, columns, library, detected):
    """CSR: add the values and the non-zeros of rows [first, last) to `library` and `detected` (int64)."""
    if _outside(indices, columns):
        return BAD_INDEX
    status = OK
    for row in range(first, last):
        part = values[max(indptr[row] - start, 0) : min(indptr[row + 1] - start, len(values))]
        total, found, bad = _sum(part, limit)
        library[row] += total
        detected[row] += found
        if bad:
            status = BAD_VALUE
    return status


@njit(nogil=True)
def dense_totals(tile, limit, library, detected):
    """Dense: add the values and the non-zeros of each row of the tile."""
    status = OK
    for row in range(tile.shape[0]):
        total, found, bad = _sum(tile[row], limit)
        library[row] += total
        detected[row] += found
        if bad:
            status = BAD_VALUE
    return status


@njit(nogil=True, inline="always")
def _sum(part, limit):
    kind = part.dtype.type
    total, found, bad = np.int64(0), np.int64(0), np.int64(0)
    for k in range(len(part)):
        value = part[k]
        fits = (value >= kind(0)) & (value <= limit)
        count = np.int32(value if fits else kind(0))
        bad += (not fits) | (kind(count) != value)
        total += count
        found += count != 0
    return total, found, bad


@njit(nogil=True)
def column_totals(values, indices, limit, rows, library, detected):
    """CSC: add each value and non-zero to its row, whatever its column."""
    if _outside(indices, rows):
        return BAD_INDEX
    kind = values.dtype.type
    bad = np.int64(0)
    for k in range(len(values)):
        value, row = values[k], np.uint64(indices[k])
        fits = (value >= kind(0)) & (value <= limit)
        count = np.int32(value if fits else kind(0))
        bad += (not fits) | (kind(count) != value)
        library[row] += count
        detected[row] += count != 0
    return BAD_VALUE if bad else OK


@njit(nogil=True)
def row_repeats(values, indices, start, indptr, first, last, group, stamp, detected):
    """CSR: take from `detected` what a row counted more than once of a group of columns (-1: in none)."""
    for row in range(first, last):
        for k in range(max(indptr[row] - start, 0), min(indptr[row + 1] - start, len(values))):
            name = group[indices[k]]
            if name >= 0 and values[k] != 0:
                if stamp[name] == row:
                    detected[row] -= 1
                stamp[name] = row


@njit(nogil=True)
def column_repeats(values, indices, start, indptr, first, last, group, seen, detected):
    """CSC: the same, `seen` (groups, cells / 8) holding a bit for each group and cell."""
    for column in range(first, last):
        name = group[column]
        if name < 0:
            continue
        for k in range(max(indptr[column] - start, 0), min(indptr[column + 1] - start, len(values))):
            if values[k] != 0:
                row, bit = indices[k], np.uint8(1 << (indices[k] & 7))
                if seen[name, row >> 3] & bit:
                    detected[row] -= 1
                seen[name, row >> 3] |= bit


@njit(nogil=True)
def dense_repeats(tile, first, group, seen, detected):
    """Dense: the same for a tile whose first column is `first`; `seen` (rows, groups) bool."""
    for column in range(tile.shape[1]):
        name = group[first + column]
        if name < 0:
            continue
        for row in range(tile.shape[0]):
            if tile[row, column] != 0:
                if seen[row, name]:
                    detected[row] -= 1
                seen[row, name] = True


@njit(nogil=True)
def gather_rows(
    values, indices, start, indptr, rows, at, target, wanted, limit, sums, bits,
    out_gene, out_count, out_ptr, filled,
):  # fmt: skip
    """CSR: append the wanted columns of rows[at:], by ascending target; return (next `at`, filled, status).

    `target` (columns,) int32 is a column's place in the panel or -1, `wanted` (columns,) uint8 whether it has one.
    `sums` (genes,) int64 and `bits` (genes / 64,) uint64 hold a row that the next block continues: columns of one
    target add up, and the set bits give the detected ones in order without sorting.
    """
    kind = values.dtype.type
    stop = start + len(values)
    hits = np.empty(len(values), dtype=np.int32)
    while at < len(rows):
        row = rows[at]
        begin, end = max(indptr[row] - start, 0), min(indptr[row + 1] - start, len(values))
        part, columns = values[begin:end], indices[begin:end]
        if _outside(columns, len(target)):
            return at, filled, BAD_INDEX
        # Written always and kept when wanted: a branch here would be mispredicted too often.
        found = np.uint64(0)
        for k in range(len(columns)):
            hits[found] = k
            found += wanted[np.uint64(columns[k])]
        for h in range(found):
            hit = np.uint64(hits[h])  # unsigned, here and below: a signed index may count from the end and is slower
            value, place = part[hit], np.uint64(target[np.uint64(columns[hit])])
            if not ((value >= kind(0)) & (value <= limit)) or kind(np.int32(value)) != value:
                return at, filled, BAD_VALUE
            if value != kind(0):
                sums[place] += np.int64(value)
                bits[place >> np.uint64(6)] |= np.uint64(1) << (place & np.uint64(63))
        if indptr[row + 1] > stop:
            break
        for word in range(len(bits)):
            left = bits[word]
            bits[word] = 0
            while left:
                low = left & (~left + np.uint64(1))
                left ^= low
                place = word * 64 + _POSITION[(low * np.uint64(_MAGIC)) >> np.uint64(58)]
                if sums[place] > LARGEST:
                    return at, filled, TOO_LARGE
                out_gene[filled] = place
                out_count[filled] = sums[place]
                sums[place] = 0
                filled += 1
        at += 1
        out_ptr[at] = filled
    return at, filled, OK


@njit(nogil=True)
def gather_columns(
    values, indices, start, indptr, columns, at, place, limit, out_row, out_count, out_ptr, filled
):  # fmt: skip
    """CSC: append the wanted rows of columns[at:]; `place` (cells,) int32 is a cell's row in the panel or -1."""
    kind = values.dtype.type
    stop = start + len(values)
    while at < len(columns):
        column = columns[at]
        begin, end = max(indptr[column] - start, 0), min(indptr[column + 1] - start, len(values))
        part, cells = values[begin:end], indices[begin:end]
        if _outside(cells, len(place)):
            return at, filled, BAD_INDEX
        for k in range(len(cells)):
            row, value = place[np.uint64(cells[k])], part[k]
            if row >= 0 and value != kind(0):
                if not ((value >= kind(0)) & (value <= limit)) or kind(np.int32(value)) != value:
                    return at, filled, BAD_VALUE
                out_row[filled] = row
                out_count[filled] = value
                filled += 1
        if indptr[column + 1] > stop:
            break
        at += 1
        out_ptr[at] = filled
    return at, filled, OK


@njit(nogil=True)
def columns_to_rows(row, count, ptr, order, gene, first, last, sizes, out_gene, out_count, starts):
    """Turn gathered columns, visited in `order` with ascending `gene`, into rows [first, last); one gene's add up.

    Called first with empty outputs to fill `sizes` (cells,), then with their running sum as `starts`.
    """
    latest = np.full(last - first, -1, dtype=np.int32)
    counting = len(starts) == 0
    for k in range(len(order)):
        for element in range(ptr[order[k]], ptr[order[k] + 1]):
            cell = row[element]
            if cell < first or cell >= last:
                continue
            new = latest[cell - first] != gene[k]
            latest[cell - first] = gene[k]
            if counting:
                sizes[cell] += new
            elif new:
                out_gene[starts[cell]] = gene[k]
                out_count[starts[cell]] = count[element]
                starts[cell] += 1
            else:
                total = np.int64(out_count[starts[cell] - 1]) + count[element]
                if total > LARGEST:
                    return TOO_LARGE
                out_count[starts[cell] - 1] = total
    return OK


@njit(nogil=True)
def gather_dense(tile, rows, columns, places, limit, band):
    """Dense: add the wanted rows and columns of a tile to `band` (rows, genes) int32."""
    kind = tile.dtype.type
    for r in range(len(rows)):
        for c in range(len(columns)):
            value = tile[rows[r], columns[c]]
            if not ((value >= kind(0)) & (value <= limit)) or kind(np.int32(value)) != value:
                return BAD_VALUE
            total = np.int64(band[r, places[c]]) + np.int64(value)
            if total > LARGEST:
                return TOO_LARGE
            band[r, places[c]] = total
    return OK


@njit(nogil=True)
def flush_dense(band, at, out_gene, out_count, out_ptr, filled):
    """Append the non-zeros of the band's rows."""
    for r in range(band.shape[0]):
        for gene in range(band.shape[1]):
            if band[r, gene] != 0:
                out_gene[filled] = gene
                out_count[filled] = band[r, gene]
                filled += 1
        out_ptr[at + r + 1] = filled
    return filled
