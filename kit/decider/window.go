package decider

import "lonja/kit/eventlog"

// commandKey is a command's id in few bytes, since many of an entity's are in memory.
type commandKey [16]byte

func keyOf(id string) (k commandKey) {
	copy(k[:], eventlog.CompactID(id))
	return k
}

// commandEvent says which event a command caused.
type commandEvent struct {
	Command  commandKey
	Sequence uint64
}

// searched is how many commands are searched one by one. Nearly all entities have no more, and
// need no index.
const searched = 32

// window holds the newest commands of an entity, by its events alone.
type window struct {
	size   int                   // how many it holds at most
	events []commandEvent        // a ring once it is full; see oldest
	oldest int                   // where the ring begins
	index  map[commandKey]uint64 // the sequence of each command's last event; nil while the events are searched
	floor  uint64                // the sequence of the newest event that is no longer in the window; 0 when all are
}

// find returns the sequence of a command's last event, if it is in the window.
func (w *window) find(k commandKey) (seq uint64, found bool) {
	if w.index != nil {
		seq, found = w.index[k]
		return seq, found
	}
	for _, e := range w.events { // no ring yet
		if e.Command == k {
			seq, found = e.Sequence, true
		}
	}
	return seq, found
}

// add adds an entity's next event, and drops the oldest one if there are too many.
func (w *window) add(e commandEvent) {
	if len(w.events) < w.size {
		w.events = append(w.events, e)
	} else {
		dropped := w.events[w.oldest]
		w.floor = dropped.Sequence
		if w.index[dropped.Command] == dropped.Sequence {
			delete(w.index, dropped.Command)
		}
		w.events[w.oldest] = e
		w.oldest = (w.oldest + 1) % w.size
	}
	switch {
	case w.index != nil:
		w.index[e.Command] = e.Sequence
	case len(w.events) > searched:
		w.reindex()
	}
}

func (w *window) reindex() {
	w.index = make(map[commandKey]uint64, len(w.events))
	for _, e := range w.inOrder() {
		w.index[e.Command] = e.Sequence
	}
}

// bytes returns how much memory the window takes, roughly.
func (w *window) bytes() int { return 24*cap(w.events) + 48*len(w.index) }

// inOrder returns the events from the oldest to the newest.
func (w *window) inOrder() []commandEvent {
	ordered := make([]commandEvent, 0, len(w.events))
	return append(append(ordered, w.events[w.oldest:]...), w.events[:w.oldest]...)
}

// restore makes the window that inOrder and floor describe, which may have been larger.
func (w *window) restore(ordered []commandEvent, floor uint64) {
	if more := len(ordered) - w.size; more > 0 {
		floor, ordered = ordered[more-1].Sequence, ordered[more:]
	}
	w.events, w.oldest, w.index, w.floor = ordered, 0, nil, floor
	if len(ordered) > searched {
		w.reindex()
	}
}
