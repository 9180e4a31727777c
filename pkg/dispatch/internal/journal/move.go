package journal

// leastMoved is how many bytes are moved at once at least, when some have to be.
const leastMoved = 1 << 20

// move is an entry that is written again, with the checksum that its record has, right or not.
type move struct {
	Entry
	kind uint32
	sum  []byte
}

// moves returns entries of the first segment to be written again at the end, when the segments have much more than their entries
// need: so one that is never done does not keep all that come after it on disk. It is a part of them, so that no call takes long.
func (j *Journal) moves(add []Entry) (moves []move) {
	front, total, live := j.segments[0], j.DiskBytes(), 2*j.live
	wanted := total > live+2*j.segmentBytes || int64(len(j.segments)) > live/j.segmentBytes+4
	if !wanted || j.doubtful || len(j.segments) == 1 || front.live == 0 || front == j.unmovable {
		return nil
	}
	most := int64(leastMoved)
	for _, e := range add {
		most += 2 * int64(len(e.Record))
	}
	r := recordReader{journal: j}
	defer r.close()
	visit := func(seq uint64, e entry) bool {
		if e.segment != front {
			return true
		}
		m, err := j.move(&r, seq, e)
		if err != nil {
			j.unmovable = front // it stays as it is
			return false
		}
		moves = append(moves, m)
		most -= int64(e.length)
		j.cursor = seq + 1
		return most > 0 && len(moves) < front.live
	}
	from := j.cursor // as entries of a segment mostly follow those of the one before
	j.entries.Ascend(from, visit)
	if len(moves) == 0 && front != j.unmovable {
		j.entries.Ascend(0, func(seq uint64, e entry) bool { return seq < from && visit(seq, e) })
	}
	return moves
}

func (j *Journal) move(r *recordReader, seq uint64, e entry) (m move, err error) {
	m.Entry = Entry{Seq: seq, Received: e.receivedAt(), Size: e.size, Readers: j.remaining(seq)}
	m.kind = entryFrame
	m.Record, m.sum, err = r.read(&e)
	if e.damaged {
		m.kind, m.sum = damageFrame, make([]byte, sumSize)
	}
	return m, err
}
