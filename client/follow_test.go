package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lonja/client"
)

// severed is a body that breaks off after a while.
type severed struct {
	io.ReadCloser
	left int
}

func (s *severed) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.ReadCloser.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// A stream whose connection breaks again and again shows each change once.
func TestFollowOrder_ResumesAfterABreak(t *testing.T) {
	ctx, name := t.Context(), unique("severed")
	seen := theShop.sells(t, name, 100, 10)
	var mu sync.Mutex
	var resumed []string
	breaks := through(func(r *http.Request) (*http.Response, error) {
		res, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && res.Header.Get("Content-Type") == "text/event-stream" {
			mu.Lock()
			resumed = append(resumed, r.Header.Get("Last-Event-ID"))
			mu.Unlock()
			res.Body = &severed{res.Body, 130} // one change and a part of the next
		}
		return res, err
	})
	ana := theShop.registers(t, name, client.WithConsistency(seen), breaks, client.WithBackoff(time.Millisecond, time.Millisecond))
	order, err := ana.PlaceOrder(ctx, lamps(name, 1), client.Wait(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ana.CancelOrder(ctx, order.ID); err != nil {
		t.Fatal(err)
	}
	var statuses []client.OrderStatus
	ids := []string{""}
	for change, err := range ana.FollowOrder(ctx, order.ID) {
		if err != nil {
			t.Fatal(err)
		}
		statuses, ids = append(statuses, change.Status), append(ids, change.ID)
	}
	if want := []client.OrderStatus{client.Placed, client.AwaitingPayment, client.Cancelled}; !slices.Equal(statuses, want) {
		t.Errorf("followed %v; want %v", statuses, want)
	}
	if !slices.Equal(resumed, ids[:3]) {
		t.Errorf("resumed after %q; want %q", resumed, ids[:3])
	}
	for change, err := range ana.FollowOrder(ctx, order.ID, client.After(ids[3])) {
		t.Errorf("there is more after the end: %+v, %v", change, err)
	}
	url, err := ana.NewStreamURL(ctx, order.ID)
	if err != nil || url.ExpiresIn <= 0 {
		t.Fatalf("%+v, %v", url, err)
	}
	res, err := http.Get(url.URL) // as a browser would
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%+v, %v", res, err)
	}
	res.Body.Close()
}

func TestFollowOrder_EndsWithOneError(t *testing.T) {
	const change = "id: 1\nevent: status\ndata: {\"status\":\"placed\"}\n\n"
	for name, c := range map[string]struct {
		replies []reply
		changes int
		tries   int
		err     error // nil for any
	}{
		"refused":                   {[]reply{{404, `{"code":"not_found"}`, nil}}, 0, 1, client.NotFound},
		"not logged in":             {[]reply{{401, `{"code":"unauthenticated"}`, nil}}, 0, 1, client.Unauthenticated},
		"away for too long":         {[]reply{{503, `{"code":"unavailable"}`, nil}}, 0, 5, client.Unavailable},
		"closed without a word":     {[]reply{{200, "", nil}}, 0, 5, io.ErrUnexpectedEOF},
		"away after a change":       {[]reply{{200, change, nil}, {503, `{"code":"unavailable"}`, nil}}, 1, 5, client.Unavailable},
		"not JSON":                  {[]reply{{200, "data: no\n\n", nil}}, 0, 1, nil},
		"a proxy that knows no SSE": {[]reply{{502, "<html>", nil}}, 0, 5, nil},
	} {
		t.Run(name, func(t *testing.T) {
			shop, changes, failed := &script{replies: c.replies}, 0, []error{}
			for _, err := range played(t, shop).FollowOrder(t.Context(), "ord_1") {
				if err != nil {
					failed = append(failed, err)
					continue
				}
				changes++
			}
			if len(failed) != 1 || c.err != nil && !errors.Is(failed[0], c.err) || changes != c.changes || len(shop.requests()) != c.tries {
				t.Errorf("%d changes and %v after %d tries", changes, failed, len(shop.requests()))
			}
		})
	}
}

// silence is a body that says nothing until its request is given up.
type silence struct{ ctx context.Context }

func (s silence) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (s silence) Close() error             { return nil }

func TestFollowOrder_LeavesASilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		c := at(t, "http://shop.example", client.WithRetries(1), client.WithBackoff(0, 0), through(func(r *http.Request) (*http.Response, error) {
			tries++
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: silence{r.Context()}}, nil
		}))
		for _, err := range c.FollowOrder(t.Context(), "ord_1") {
			if !errors.Is(err, context.Canceled) || t.Context().Err() != nil {
				t.Errorf("left with %v", err)
			}
		}
		if took := time.Since(began); tries != 2 || took != 70*time.Second {
			t.Errorf("left after %v and %d tries", took, tries)
		}
	})
}

func TestFollowOrder_LoopMayBreak(t *testing.T) {
	shop := &script{replies: []reply{{200, "id: 1\ndata: {\"status\":\"placed\"}\n\n", nil}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for change, err := range played(t, shop).FollowOrder(ctx, "ord_1") {
		cancel()
		if err != nil || change.ID != "1" {
			t.Errorf("%+v, %v", change, err)
		}
		break
	}
	var last error
	for _, err := range played(t, shop).FollowOrder(ctx, "ord_1") {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Error(fmt.Errorf("with a context that has ended: %w", last))
	}
}
