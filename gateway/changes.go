package gateway

import (
	"slices"
	"sync"

	"lonja/kit/projection"
)

// changes wakes those who wait in this gateway for news of an order. One
// subscription serves them all, and nobody holds anything in a service while
// they wait. What an order looks like, and who may see it, is asked of orders each
// time: a message that something changed is only a hint to ask.
type changes struct {
	mu      sync.Mutex
	watched map[string][]*watch // by order
}

// watch is one who waits. News holds what must be asked for to see all that
// changed since it was last taken: a consistency token, perhaps empty.
type watch struct {
	key  string
	news chan projection.Token // with room for one
}

func newChanges() *changes { return &changes{watched: map[string][]*watch{}} }

// watch begins to wait for news of a key, until unwatch. It must begin before
// the order is first asked for, or what happens in between is missed.
func (c *changes) watch(key string) *watch {
	w := &watch{key, make(chan projection.Token, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[key] = append(c.watched[key], w)
	return w
}

func (c *changes) unwatch(w *watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := slices.DeleteFunc(c.watched[w.key], func(o *watch) bool { return o == w })
	if c.watched[w.key] = left; len(left) == 0 {
		delete(c.watched, w.key)
	}
}

// changed wakes those who watch a key, or everybody when the key is "".
func (c *changes) changed(key, position string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key != "" {
		for _, w := range c.watched[key] {
			w.wake(position)
		}
		return
	}
	for _, all := range c.watched {
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
	w.news <- seen(news, position)
}
