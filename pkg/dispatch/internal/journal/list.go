package journal

import (
	"slices"
	"sort"
)

// removed marks the key of what is in a list no more.
const removed = 1 << 63

// list has values by keys, in the order of the keys, for keys that mostly come in this order, and mostly go so.
type list[V any] struct {
	keys   []uint64
	values []V
	first  int // that has not been removed
	gone   int // after first
	// late are those whose key has come after a larger one, until settle: one by one they would each move all after them.
	late map[uint64]V
}

func (l *list[V]) len() int { return len(l.keys) - l.first - l.gone + len(l.late) }

// search returns the place of the first key that is at least the given one, in the list or removed from it.
func (l *list[V]) search(key uint64) int {
	return l.first + sort.Search(len(l.keys)-l.first, func(i int) bool { return l.keys[l.first+i]&^removed >= key })
}

func (l *list[V]) get(key uint64) (v V, ok bool) {
	if i := l.search(key); i < len(l.keys) && l.keys[i] == key {
		return l.values[i], true
	}
	v, ok = l.late[key]
	return v, ok
}

func (l *list[V]) set(key uint64, v V) {
	i := l.search(key)
	_, late := l.late[key]
	switch {
	case i < len(l.keys) && l.keys[i]&^removed == key && !late:
		if l.keys[i] != key {
			l.gone--
		}
		l.keys[i], l.values[i] = key, v
	case i == len(l.keys) && !late:
		l.keys, l.values = append(l.keys, key), append(l.values, v)
	default:
		if l.late == nil {
			l.late = map[uint64]V{}
		}
		l.late[key] = v
	}
}

// remove tells whether there was something to remove.
func (l *list[V]) remove(key uint64) bool {
	i := l.search(key)
	if i == len(l.keys) || l.keys[i] != key {
		_, late := l.late[key]
		delete(l.late, key)
		return late
	}
	l.keys[i] |= removed
	l.gone++
	for l.first < len(l.keys) && l.keys[l.first]&removed != 0 {
		l.first++
		l.gone--
	}
	const some = 1024
	if live := len(l.keys) - l.first - l.gone; len(l.keys) > 2*live+some {
		l.compact(live + live/4)
	}
	return true
}

// compact gives the room of what has been removed back.
func (l *list[V]) compact(room int) {
	keys, values := make([]uint64, 0, room), make([]V, 0, room)
	for i := l.first; i < len(l.keys); i++ {
		if l.keys[i]&removed == 0 {
			keys, values = append(keys, l.keys[i]), append(values, l.values[i])
		}
	}
	l.keys, l.values, l.first, l.gone = keys, values, 0, 0
}

// settle puts those that came late in their places.
func (l *list[V]) settle() {
	if len(l.late) == 0 {
		return
	}
	late := l.late
	l.late = nil
	for key, v := range late {
		l.keys, l.values = append(l.keys, key), append(l.values, v)
	}
	l.compact(len(l.keys))
	sort.Sort((*byKey[V])(l))
}

type byKey[V any] list[V]

func (l *byKey[V]) Len() int           { return len(l.keys) }
func (l *byKey[V]) Less(i, k int) bool { return l.keys[i] < l.keys[k] }
func (l *byKey[V]) Swap(i, k int) {
	l.keys[i], l.keys[k] = l.keys[k], l.keys[i]
	l.values[i], l.values[k] = l.values[k], l.values[i]
}

// all yields keys and values from a key on. Nothing may be changed meanwhile.
func (l *list[V]) all(from uint64) func(yield func(uint64, V) bool) {
	return func(yield func(uint64, V) bool) {
		for i := l.search(from); i < len(l.keys); i++ {
			if l.keys[i]&removed == 0 && !yield(l.keys[i], l.values[i]) {
				return
			}
		}
	}
}

// snapshot returns the keys, whatever becomes of the list.
func (l *list[V]) snapshot() []uint64 {
	keys := make([]uint64, 0, l.len())
	for key := range l.all(0) {
		keys = append(keys, key)
	}
	for key := range l.late {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
