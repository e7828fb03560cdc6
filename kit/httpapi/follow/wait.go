package follow

import (
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/httpapi"
)

// lookAgainSoon is how long one who waits relies on being told of changes.
const lookAgainSoon = 5 * time.Second

// Waits is an option for a route whose handler waits as Prefer: wait=N says. About
// tells the route's readers what for.
func Waits(about string) httpapi.Option {
	return httpapi.Options(
		httpapi.Param(&huma.Param{Name: "Prefer", In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Example: "wait=10", Description: about}),
		httpapi.Header("Preference-Applied", "The longest that was waited for"))
}

// Wait is one request's place among those who wait, as its Prefer: wait=N says.
type Wait struct {
	changes *Changes
	call    *httpapi.Call
	most    time.Duration // 0 is not at all
	leave   func()
}

// Wait takes a place for a request that commands to wait, until Done. It returns an
// error with the code Unavailable when there is none: take it before the command is
// sent, so that nothing is done for a client that then cannot wait. A request that
// does not command to wait needs no place.
func (ch *Changes) Wait(c *httpapi.Call) (*Wait, error) {
	w := &Wait{ch, c, c.Waits(), func() {}}
	if w.most == 0 {
		return w, nil
	}
	var err error
	w.leave, err = ch.waiting.take()
	return w, err
}

// Done gives the place back.
func (w *Wait) Done() { w.leave() }

// For replaces an answer, if the request commands to wait, with that to a query
// about the key once done says of it that nothing is left to wait for, or with the
// latest one when the time is over or the server stops. The answer stays what it is
// when the service cannot tell.
func (w *Wait) For(key string, q httpapi.Query, done func(answer []byte) bool, a *httpapi.Answer) {
	if w.most == 0 {
		return
	}
	if body := w.await(key, q, done); body != nil {
		a.Body, a.Seen = body, w.call.Seen.String()
	}
	a.Preference = "wait=" + strconv.Itoa(int(w.most/time.Second))
}

func (w *Wait) await(key string, q httpapi.Query, done func(answer []byte) bool) (latest []byte) {
	watch := w.changes.watches.begin(key)
	defer w.changes.watches.end(watch)
	ctx, cancel := w.call.UntilStopping()
	defer cancel()
	over, again := time.After(w.most), time.NewTicker(lookAgainSoon)
	defer again.Stop()
	for {
		body, err := w.call.Query(ctx, q)
		if err != nil {
			return latest
		}
		if latest = body; done(body) {
			return latest
		}
		select {
		case news := <-watch.news:
			w.call.Seen = httpapi.Merge(w.call.Seen, news.String())
		case <-again.C:
		case <-over:
			return latest
		case <-ctx.Done():
			return latest
		}
	}
}
