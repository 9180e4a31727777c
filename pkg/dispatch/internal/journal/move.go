package journal

// leastMoved is how many bytes are moved at once at least, when some have to be.
const leastMoved = 1 << 20

// moves returns entries of the first segment to be written again at the end, when the segments have much more than their entries
// need: so one that is never done does not keep all that come after it on disk. It is a part of them, so that no call takes long.
func (j *Journal) moves(add []Entry) (moves []writing) {
	front, total, live := j.segments[0], j.DiskBytes(), 2*j.live
	wanted := total > live+2*j.segmentBytes || int64(len(j.segments)) > live/j.segmentBytes+4
	if !wanted || j.doubtful || len(j.segments) == 1 || front.live == 0 || front == j.unmovable {
		return nil
	}
	most := int64(leastMoved)
	for i := range add {
		most += 2 * int64(add[i].length())
	}
	r := recordReader{journal: j}
	defer r.close()
	from := j.from(j.cursor) // as entries of a segment mostly follow those of the one before
	for _, part := range [][]entry{from, j.entries[:len(j.entries)-len(from)]} {
		for i := range part {
			if len(moves) == front.live || most <= 0 {
				return moves
			}
			e := &part[i]
			if e.set == 0 || e.segment != j.gone {
				continue
			}
			w, err := j.move(&r, e)
			if err != nil {
				j.unmovable = front // it stays as it is
				return moves
			}
			moves, most, j.cursor = append(moves, w), most-int64(e.length), w.Seq+1
		}
		if len(moves) > 0 {
			break
		}
	}
	return moves
}

func (j *Journal) move(r *recordReader, e *entry) (w writing, err error) {
	w.Entry = Entry{Seq: e.seq.value(), Received: e.receivedAt(), Size: int64(e.size)}
	for _, reader := range j.of(e) {
		w.Readers = append(w.Readers, reader.id)
	}
	if w.Record, w.sum, err = r.read(e); e.damaged() {
		w.sum = make([]byte, sumSize)
	}
	return w, err
}
