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
	// maxAge is how old the list may be when a token is checked. Together with the
	// time it takes to publish a revocation, it stays below the promised second.
	maxAge = 300 * time.Millisecond
	// updateTimeout is how long the stream may take to answer an update.
	updateTimeout = time.Second
	// gracePeriod is how long the list is still used when the stream does not answer.
	// Usually the stream has no leader then, so nothing can be revoked either; an
	// election takes about as long.
	gracePeriod = 10 * time.Second
	// retryDelay is how long no update is attempted after one has failed.
	retryDelay = 500 * time.Millisecond
)

// List is a copy of the revocations in memory. A check that finds the copy older than
// 0.3 seconds updates it first, also after a restart of the process or a lost connection.
// While the stream does not answer, the copy is used for up to ten seconds, unless the
// connection is lost. Its methods can be called concurrently.
type List struct {
	conn    *nats.Conn
	js      jetstream.JetStream
	log     *eventlog.Log
	updates singleflight.Group

	mu      sync.RWMutex
	users   map[string]revocation // by the id of a user or a session
	updated moment                // when the last successful update began
	failed  moment                // when the last failed update ended
	pruned  time.Time             // when old revocations were last removed from users

	// Only updates use these, and only one update runs at a time.
	created  time.Time // when the stream was created that position refers to
	position uint64    // the sequence up to which the list includes the stream
}

type revocation struct {
	before uint64    // the sequence before which tokens are revoked
	added  time.Time // when it was added to the list
}

// moment is a time together with the state of the connection. The zero moment is never.
type moment struct {
	at         time.Time
	connected  bool
	reconnects uint64 // how often the connection had been restored
}

// within reports whether m is less than d before now, and the connection has not been
// lost since.
func (m moment) within(d time.Duration, now moment) bool {
	return !m.at.IsZero() && now.connected && m.reconnects == now.reconnects && now.at.Sub(m.at) < d
}

// New returns a List that uses a connection. It makes no request until the first check.
// The list does not close the connection, and needs no closing itself.
func New(conn *nats.Conn) *List {
	js, err := jetstream.New(conn)
	if err != nil {
		panic(err) // happens only for invalid options
	}
	// A revocation is not an event, so the codec decodes nothing.
	return &List{conn: conn, js: js, log: eventlog.New(js, eventlog.Codec{}), users: map[string]revocation{}}
}

// Check returns nil if an actor's access token has not been revoked, by itself or with its session. Otherwise it
// returns an error with the code Unauthenticated or, if the list cannot be updated, with
// the code Unavailable. An anonymous actor, whose ID is "", and a service, whose ID
// begins with "service:", have no token and always pass. A token without the sequence of
// its signing, which is 0 then, counts as older than any revocation of its user.
//
// Check waits for an update of up to a second if the list is not current, or until ctx
// ends.
func (l *List) Check(ctx context.Context, actor eventlog.Actor) error {
	if actor.ID == "" || strings.HasPrefix(actor.ID, "service:") {
		return nil
	}
	if err := l.refresh(ctx); err != nil {
		return err
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if actor.TokenPosition < l.users[actor.ID].before || actor.Session != "" && l.users[actor.Session].before == Ended {
		return errs.New(errs.Unauthenticated, "the access token has been revoked; refresh the session, or log in again")
	}
	return nil
}

func (l *List) now() moment {
	return moment{time.Now(), l.conn.IsConnected(), l.conn.Stats().Reconnects}
}

// refresh updates the list if it is not current. It returns an error if that fails and
// the grace period is over.
func (l *List) refresh(ctx context.Context) error {
	l.mu.RLock()
	updated, failed := l.updated, l.failed
	l.mu.RUnlock()
	now := l.now()
	if updated.within(maxAge, now) || failed.within(retryDelay, now) && updated.within(gracePeriod, now) {
		return nil
	}
	done := l.updates.DoChan("", func() (any, error) { return nil, l.update(context.WithoutCancel(ctx)) })
	select {
	case r := <-done:
		if r.Err == nil || updated.within(gracePeriod, l.now()) {
			return nil
		}
	case <-ctx.Done():
	}
	return errs.New(errs.Unavailable, "access tokens cannot be checked for revocation at the moment; try again")
}

// update reads new revocations from the stream's leader.
func (l *List) update(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	began := l.now() // the update may miss later revocations
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == nil {
			l.updated = began
		} else {
			l.failed = l.now()
		}
	}()
	stream, err := l.js.Stream(ctx, Stream)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(l.created) || info.State.LastSeq < l.position {
		l.created, l.position = info.Created, 0 // another stream; revocations of the old one stay valid
	}
	if info.State.Msgs > 0 {
		if err := l.log.Load(ctx, Stream, prefix+">", l.position, info.State.LastSeq, l.add); err != nil {
			return err
		}
	}
	l.position = info.State.LastSeq
	return nil
}

// add adds a revocation to the list. The highest sequence of a user counts.
func (l *List) add(r eventlog.Record) {
	l.position = r.Sequence
	user, before, err := parseRecord(r)
	if err != nil {
		return // only Revoke may publish here, and what it publishes can be parsed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.pruned) > Retention/4 {
		l.pruned = now
		maps.DeleteFunc(l.users, func(_ string, r revocation) bool { return now.Sub(r.added) > Retention })
	}
	l.users[user] = revocation{max(before, l.users[user].before), now}
}
