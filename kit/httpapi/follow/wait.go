package follow

import (
	"maps"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/httpapi"
	"lonja/kit/projection"
)

const (
	// firstPoll is when a waiting request queries for the first time if nothing was announced: what
	// it waits for may have come before it began to listen.
	firstPoll = 100 * time.Millisecond
	// waitPollInterval is how often it queries after that without an announcement.
	waitPollInterval = 5 * time.Second
)

// Waits is an option for a route whose handler uses Wait. The description says what
// Prefer: wait=N waits for.
func Waits(description string) httpapi.Option {
	return httpapi.Options(
		httpapi.Param(&huma.Param{Name: "Prefer", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Example: "wait=10", Description: description}),
		httpapi.Header("Preference-Applied", "The longest time that the server would wait, such as wait=10"))
}

// Wait is one request's place among the waiting requests. It must be released.
type Wait struct {
	changes *Changes
	call    *httpapi.Call
	max     time.Duration // 0 if the request does not wait
	release func()
}

// Wait acquires a place for a request with Prefer: wait=N, until Release. It returns an
// error with the code Unavailable when all places are taken. Call it before the command
// is sent, so that nothing is done for a client that then cannot wait. A request without
// the preference needs no place.
func (ch *Changes) Wait(c *httpapi.Call) (*Wait, error) {
	w := &Wait{ch, c, c.PreferredWait(), func() {}}
	if w.max == 0 {
		return w, nil
	}
	var err error
	w.release, err = ch.waiting.acquire()
	return w, err
}

// Release returns the place. It must be called once.
func (w *Wait) Release() { w.release() }

// Await waits as the request's Prefer: wait=N asks, and replaces the body of the response
// with the answer to q. It returns as soon as done reports true for an answer, and with
// the latest answer when the time is over or the server begins to stop. The key is the
// one that the service announces. The response stays as it is if the request does not
// wait, or if the first query fails.
//
// What the request waits for follows from the command of the response, so Await does not query
// before the service has announced more than that command; a repeated command may have been
// followed already, and is not waited for.
func (w *Wait) Await(key string, q httpapi.Query, done func(answer []byte) bool, resp *httpapi.Response) {
	if w.max == 0 {
		return
	}
	first := firstPoll
	if resp.Replayed != "" {
		first = 0
	}
	if body := w.poll(key, q, done, first); body != nil {
		resp.Body, resp.ConsistencyToken = body, w.call.Seen.String()
	}
	resp.PreferenceApplied = "wait=" + strconv.Itoa(int(w.max/time.Second))
}

// poll queries after first at the latest, and then whenever something new was announced.
func (w *Wait) poll(key string, q httpapi.Query, done func(answer []byte) bool, first time.Duration) (latest []byte) {
	watcher := w.changes.watchers.add(key)
	defer w.changes.watchers.remove(watcher)
	ctx, cancel := w.call.UntilStopping()
	defer cancel()
	// Later answers say of themselves that they cover more than they show, so only what was seen
	// by now is known.
	known := maps.Clone(w.call.Seen)
	timeout, poll := time.NewTimer(w.max), time.NewTimer(first)
	defer timeout.Stop()
	defer poll.Stop()
	for {
		select {
		case position := <-watcher.changed:
			if covers(known, position) {
				continue
			}
			w.call.Seen = httpapi.MergeToken(w.call.Seen, position.String())
		case <-poll.C:
		case <-timeout.C:
			return latest
		case <-ctx.Done():
			return latest
		}
		poll.Reset(waitPollInterval)
		body, err := w.call.Query(ctx, q)
		if err != nil {
			return latest
		}
		if latest = body; done(body) {
			return latest
		}
	}
}

// covers reports whether what was announced has been seen. An empty position stands for
// announcements that were missed.
func covers(seen, announced projection.Token) bool {
	for stream, sequence := range announced {
		if sequence > seen[stream] {
			return false
		}
	}
	return len(announced) > 0
}
