package revocation

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/singleflight"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

const (
	// fresh is how old a list may be that is judged by. With the time that a
	// revocation takes to be written it makes up the second within which it holds.
	fresh = 300 * time.Millisecond
	// asking is how long the stream may take to say what is new.
	asking = time.Second
	// grace is how long the list is still good when the stream does not answer.
	// As a rule it has no leader then, and nothing can be revoked either; an
	// election takes about as long.
	grace = 10 * time.Second
	// retry is how long nobody asks again when the stream did not answer.
	retry = 500 * time.Millisecond
)

// List knows the revocations. It asks for what is new when it is asked itself
// and what it knows is older than a moment, so it is never older than that: not
// after its process was restarted, nor after it was cut off from NATS. It is
// safe for concurrent use.
type List struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	log    *eventlog.Log
	flight singleflight.Group

	mu     sync.RWMutex
	users  map[string]revoked
	heard  moment    // when the stream last said what is new
	silent moment    // when it last did not
	swept  time.Time // when users were last forgotten
	stream time.Time // when the stream was created that seen is about
	seen   uint64    // all of the stream up to here is known
}

type revoked struct {
	before uint64
	known  time.Time
}

// moment is a time on a connection; the zero moment is never.
type moment struct {
	at         time.Time
	connected  bool
	reconnects uint64 // how often the connection had come back
}

// within reports whether a moment was so short a time ago, on the connection that
// still stands now.
func (m moment) within(d time.Duration, now moment) bool {
	return !m.at.IsZero() && now.connected && m.reconnects == now.reconnects && now.at.Sub(m.at) < d
}

// New is a list over a connection. It begins to ask when it is asked.
func New(conn *nats.Conn) *List {
	js, err := jetstream.New(conn)
	if err != nil {
		panic(err) // only options that contradict each other
	}
	// A revocation is no event: there is nothing to decode.
	return &List{conn: conn, js: js, log: eventlog.New(js, eventlog.Codec{}), users: map[string]revoked{}}
}

// Check refuses as Unauthenticated when an actor's access token has been
// revoked, and as Unavailable while nobody can say. A service, or nobody, has no
// token. One that does not say when it was signed is older than any revocation.
func (l *List) Check(ctx context.Context, who eventlog.Actor) error {
	if who.ID == "" || strings.HasPrefix(who.ID, "service:") {
		return nil
	}
	if err := l.current(ctx); err != nil {
		return err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if who.Signed < l.users[who.ID].before {
		return errs.New(errs.Unauthenticated, "the access token is no longer good; refresh the session, or log in again")
	}
	return nil
}

func (l *List) now() moment {
	return moment{time.Now(), l.conn.IsConnected(), l.conn.Stats().Reconnects}
}

// current makes sure that the list is fresh, or as fresh as it can be.
func (l *List) current(ctx context.Context) error {
	l.mu.RLock()
	heard, silent := l.heard, l.silent
	l.mu.RUnlock()
	now := l.now()
	if heard.within(fresh, now) || silent.within(retry, now) && heard.within(grace, now) {
		return nil
	}
	done := l.flight.DoChan("", func() (any, error) { return nil, l.ask(context.WithoutCancel(ctx)) })
	select {
	case r := <-done:
		if r.Err == nil || heard.within(grace, l.now()) {
			return nil
		}
	case <-ctx.Done():
	}
	return errs.New(errs.Unavailable, "whether access tokens are still good cannot be said at the moment; try again")
}

// ask takes in what the stream's leader knows and the list does not.
func (l *List) ask(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	began := l.now() // what is revoked from now on may be missed
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == nil {
			l.heard = began
		} else {
			l.silent = l.now()
		}
	}()
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(l.stream) || info.State.LastSeq < l.seen {
		l.stream, l.seen = info.Created, 0 // another one: what is known of the old one stays
	}
	if info.State.Msgs > 0 {
		if err := l.log.Load(ctx, Stream, prefix+">", l.seen, info.State.LastSeq, l.add); err != nil {
			return err
		}
	}
	l.seen = info.State.LastSeq
	return nil
}

// add takes in one revocation. Nothing that is older takes anything back.
func (l *List) add(r eventlog.Record) {
	l.seen = r.Sequence
	user, before, err := read(r)
	if err != nil {
		return // nobody but identity may write here, and it writes what can be read
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.swept) > Kept/4 {
		l.swept = now
		maps.DeleteFunc(l.users, func(_ string, r revoked) bool { return now.Sub(r.known) > Kept })
	}
	l.users[user] = revoked{max(before, l.users[user].before), now}
}
