package follow

import (
	"slices"
	"sync"

	"lonja/kit/httpapi"
	"lonja/kit/projection"
)

// watchers are the waiting clients of this process, by the key that they wait for.
type watchers struct {
	mu    sync.Mutex
	byKey map[string][]*watcher
}

// watcher is one waiting client. The channel holds the consistency token that a query needs to
// read all changes since the last receive; it is empty if some may have been missed.
type watcher struct {
	key     string
	changed chan projection.Token // of capacity one
}

// add starts watching a key, until remove. Call it before the first query: changes
// between a query and add would be missed.
func (ws *watchers) add(key string) *watcher {
	w := &watcher{key, make(chan projection.Token, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.byKey[key] = append(ws.byKey[key], w)
	return w
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	left := slices.DeleteFunc(ws.byKey[w.key], func(o *watcher) bool { return o == w })
	if ws.byKey[w.key] = left; len(left) == 0 {
		delete(ws.byKey, w.key)
	}
}

// notify wakes the watchers of a key, or all watchers if the key is "".
func (ws *watchers) notify(key, position string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if key != "" {
		for _, w := range ws.byKey[key] {
			w.notify(position)
		}
		return
	}
	for _, all := range ws.byKey {
		for _, w := range all {
			w.notify("")
		}
	}
}

// notify adds a position to the token in the channel. Once changes may have been missed, the
// token is empty, whatever else is announced: it would not tell of all changes. It is called
// with mu held, so the channel is empty after the receive and the send does not block.
func (w *watcher) notify(position string) {
	token := projection.Token{}
	select {
	case pending := <-w.changed:
		if token = pending; len(pending) == 0 || position == "" {
			w.changed <- projection.Token{}
			return
		}
	default:
	}
	w.changed <- httpapi.MergeToken(token, position)
}
