package follow

import (
	"slices"
	"sync"

	"lonja/kit/httpapi"
	"lonja/kit/projection"
)

// watches are those who wait in this process for news of a key.
type watches struct {
	mu    sync.Mutex
	byKey map[string][]*watch
}

// watch is one who waits. News holds what must be asked for to see all that
// changed since it was last taken: a consistency token, perhaps empty.
type watch struct {
	key  string
	news chan projection.Token // with room for one
}

// begin begins to wait for news of a key, until end. It must begin before the
// thing is first asked for, or what happens in between is missed.
func (ws *watches) begin(key string) *watch {
	w := &watch{key, make(chan projection.Token, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.byKey[key] = append(ws.byKey[key], w)
	return w
}

func (ws *watches) end(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	left := slices.DeleteFunc(ws.byKey[w.key], func(o *watch) bool { return o == w })
	if ws.byKey[w.key] = left; len(left) == 0 {
		delete(ws.byKey, w.key)
	}
}

// changed wakes those who wait for a key, or everybody when the key is "".
func (ws *watches) changed(key, position string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if key != "" {
		for _, w := range ws.byKey[key] {
			w.wake(position)
		}
		return
	}
	for _, all := range ws.byKey {
		for _, w := range all {
			w.wake("")
		}
	}
}

// wake is called inside mu, so that there is room once the old news are taken out.
func (w *watch) wake(position string) {
	news := projection.Token{}
	select {
	case news = <-w.news:
	default:
	}
	w.news <- httpapi.Merge(news, position)
}
