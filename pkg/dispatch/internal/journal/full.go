package journal

import (
	"errors"
	"syscall"
)

// isFull tells whether a disk has no room, for anybody or for this user.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// owe notes what readers are done with where a full disk has no room to say so: it is said with the next call that has, and a
// crash makes those entries come again. What has no entries any more gives its room back.
func (j *Journal) owe(done []Done) {
	j.mu.Lock()
	for _, d := range done {
		j.done(d.Seq, d.Reader)
	}
	j.mu.Unlock()
	j.owed = append(j.owed, done...)
	j.release()
}
