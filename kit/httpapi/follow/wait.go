package follow

import (
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/httpapi"
)

// waitPollInterval is how often a waiting request queries without an announcement.
const waitPollInterval = 5 * time.Second

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
func (w *Wait) Await(key string, q httpapi.Query, done func(answer []byte) bool, resp *httpapi.Response) {
	if w.max == 0 {
		return
	}
	if body := w.poll(key, q, done); body != nil {
		resp.Body, resp.ConsistencyToken = body, w.call.Seen.String()
	}
	resp.PreferenceApplied = "wait=" + strconv.Itoa(int(w.max/time.Second))
}

func (w *Wait) poll(key string, q httpapi.Query, done func(answer []byte) bool) (latest []byte) {
	watcher := w.changes.watchers.add(key)
	defer w.changes.watchers.remove(watcher)
	ctx, cancel := w.call.UntilStopping()
	defer cancel()
	timeout, poll := time.After(w.max), time.NewTicker(waitPollInterval)
	defer poll.Stop()
	for {
		body, err := w.call.Query(ctx, q)
		if err != nil {
			return latest
		}
		if latest = body; done(body) {
			return latest
		}
		select {
		case position := <-watcher.changed:
			w.call.Seen = httpapi.MergeToken(w.call.Seen, position.String())
		case <-poll.C:
		case <-timeout:
			return latest
		case <-ctx.Done():
			return latest
		}
	}
}
