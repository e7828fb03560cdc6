package identity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/shop/shoptest"
)

// aging is a shop whose stream of sessions removes events after two seconds.
type aging struct {
	*shoptest.Shop
	t *testing.T
}

func newAging(t *testing.T) aging {
	t.Helper()
	shop := aging{shoptest.Start(t), t}
	short := shop.stream(sessionsStream).Config
	short.MaxAge, short.Duplicates = 2*time.Second, time.Second
	if _, err := shop.JS.UpdateStream(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	return shop
}

func (a aging) stream(name string) *jetstream.StreamInfo {
	a.t.Helper()
	stream, err := a.JS.Stream(a.t.Context(), name)
	if err != nil {
		a.t.Fatal(err)
	}
	return stream.CachedInfo()
}

func (a aging) logIn() (id events.SessionID, tokens query.Tokens) {
	a.t.Helper()
	a.Do(command.LogIn{Email: "admin@lonja.local", Password: password}, eventlog.Actor{}, &tokens)
	session, _, _ := strings.Cut(tokens.RefreshToken, ".")
	return events.SessionID(session), tokens
}

// awaitLogin logs in until a session begins on the stream of sessions.
func (a aging) awaitLogin() {
	a.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if id, _ := a.logIn(); !isFormer(id) {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatal("no session begins on the stream of sessions")
		}
	}
}

// awaitEmpty waits until the stream of sessions has removed everything.
func (a aging) awaitEmpty() {
	a.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); a.stream(sessionsStream).State.Msgs > 0; {
		if time.Now().After(deadline) {
			a.t.Fatal("the stream still has events")
		}
	}
}

// refreshUntil refreshes a session, as often as it can, until its stream has removed everything
// up to a sequence. It returns the last refresh token. The limits of commands do not apply.
func (a aging) refreshUntil(i *identity, id events.SessionID, gone uint64) (token string, refreshes int) {
	a.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; {
		refreshes++
		token = i.issuer.formatRefreshToken(refreshToken{id, refreshes})
		c := decider.Command{Envelope: eventlog.Envelope{ID: fmt.Sprint("refresh ", refreshes)}, EntityID: string(id)}
		_, err := i.sessions.Decide(a.t.Context(), c, func(s session, _ decider.Meta) (events.Event, error) { return s.refreshed(hashToken(token), 0), nil }, nil)
		if err != nil {
			a.t.Fatal(err)
		}
		if refreshes%100 == 0 && a.stream(sessionsStream).State.FirstSeq > gone {
			return token, refreshes
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("the stream still begins at %d", a.stream(sessionsStream).State.FirstSeq)
		}
	}
}

// Sessions take room for as long as their stream keeps them, and IDENTITY none. One that is
// refreshed in time goes on although its first events are gone, at a replica that was there, at
// one that was away, and at one that has no view. Another is over.
func TestSessions_TakeNoMoreRoomThanTheirAge(t *testing.T) {
	shop := newAging(t)
	i, dir := build(Config{AdminPassword: password, derive: quick}), t.TempDir()
	stop := shop.Run(i.service(), "a", dir)
	shop.awaitLogin()
	_, idle := shop.logIn()
	kept, _ := shop.logIn()
	before, began := shop.stream("IDENTITY").State, shop.stream(sessionsStream).State.LastSeq

	token, refreshes := shop.refreshUntil(i, kept, began+1)
	if after := shop.stream("IDENTITY").State; after.Bytes != before.Bytes {
		t.Errorf("IDENTITY had %d bytes and has %d", before.Bytes, after.Bytes)
	}
	end := shop.stream(sessionsStream).State
	if end.LastSeq-end.FirstSeq+1 != end.Msgs || end.Msgs >= end.LastSeq {
		t.Errorf("after %d refreshes, the stream of sessions is %+v", refreshes, end)
	}
	t.Logf("of %d refreshes the stream keeps %d, with %d bytes each", refreshes, end.Msgs, end.Bytes/max(end.Msgs, 1))

	shop.Fails(command.RefreshSession{RefreshToken: idle.RefreshToken}, eventlog.Actor{}, errs.Unauthenticated)
	var tokens query.Tokens
	receipt := shop.Do(command.RefreshSession{RefreshToken: token}, eventlog.Actor{}, &tokens)
	var rows int
	if err := i.accountsView.Await(t.Context(), projection.ParseToken(receipt.Position)); err != nil {
		t.Fatal(err)
	}
	if _, err := i.accountsView.Get(t.Context(), `SELECT count(*) FROM wishes`, nil, &rows); err != nil || rows > 20 {
		t.Errorf("the view remembers %d commands, %v", rows, err)
	}
	must(t, stop())
	shop.awaitEmpty()
	for name, dir := range map[string]string{"away": dir, "without a view": t.TempDir()} {
		again := build(Config{AdminPassword: password, derive: quick})
		stop := shop.Run(again.service(), "a", dir)
		shop.awaitLogin()
		if failed := again.accountsView.Failed(); failed != nil {
			t.Errorf("%s: %v", name, failed)
		}
		must(t, stop())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
