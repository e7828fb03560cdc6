package revocation_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/revocation"
)

func createStream(t *testing.T, log *kittest.Log) {
	t.Helper()
	_, err := log.JS.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: revocation.Stream, Subjects: []string{"revocations.>"}, MaxMsgsPerSubject: 1, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
}

func revoke(t *testing.T, log *kittest.Log, user string, before uint64) {
	t.Helper()
	if err := revocation.Revoke(t.Context(), log.JS, user, before); err != nil {
		t.Fatal(err)
	}
}

func signed(user string, at uint64) eventlog.Actor {
	return eventlog.Actor{ID: user, TokenPosition: at}
}

// eventually waits until Check returns an error with a code; "" means nil.
func eventually(t *testing.T, l *revocation.List, actor eventlog.Actor, code errs.Code) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := l.Check(t.Context(), actor)
		if err == nil && code == "" || err != nil && errs.Is(err, code) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v: want %q, got %v", actor, code, err)
		}
	}
}

func TestList_RejectsTokensSignedBeforeTheRevocation(t *testing.T) {
	log := kittest.New(t)
	createStream(t, log)
	old := revocation.New(log.Conn)
	eventually(t, old, signed("ana", 9), "")
	revoke(t, log, "ana", 10)
	for name, l := range map[string]*revocation.List{"a list from before": old, "a new list": revocation.New(log.Conn)} {
		eventually(t, l, signed("ana", 9), errs.Unauthenticated)
		for _, c := range []struct {
			actor    eventlog.Actor
			rejected bool
		}{
			{signed("ana", 9), true}, {signed("ana", 0), true}, {signed("ana", 10), false}, {signed("ana", 11), false},
			{signed("bob", 9), false}, {signed("bob", 0), false}, {signed("", 0), false}, {signed("service:ana", 0), false},
		} {
			if err := l.Check(t.Context(), c.actor); errs.Is(err, errs.Unauthenticated) != c.rejected || !c.rejected && err != nil {
				t.Errorf("%s: %+v: %v", name, c.actor, err)
			}
		}
	}
}

// A session that has ended has no valid token, whenever it was signed. Those of the user's other
// sessions are as before, and so are those that name no session.
func TestRevokeSession_RejectsEveryTokenOfTheSession(t *testing.T) {
	log := kittest.New(t)
	createStream(t, log)
	of := func(session string, at uint64) eventlog.Actor {
		return eventlog.Actor{ID: "ana", TokenPosition: at, Session: session}
	}
	old := revocation.New(log.Conn)
	eventually(t, old, of("s1", 9), "")
	revoke(t, log, "ana", 5)
	for range 2 {
		if err := revocation.RevokeSession(t.Context(), log.JS, "s1"); err != nil {
			t.Fatal(err)
		}
	}
	for name, l := range map[string]*revocation.List{"a list from before": old, "a new list": revocation.New(log.Conn)} {
		eventually(t, l, of("s1", 9), errs.Unauthenticated)
		for actor, rejected := range map[*eventlog.Actor]bool{
			ptr(of("s1", 4)): true, ptr(of("s1", math.MaxInt64)): true,
			ptr(of("s2", 4)): true, ptr(of("s2", 5)): false, ptr(of("", 4)): true, ptr(of("", 5)): false,
		} {
			if err := l.Check(t.Context(), *actor); errs.Is(err, errs.Unauthenticated) != rejected || !rejected && err != nil {
				t.Errorf("%s: %+v: %v", name, *actor, err)
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestRevoke_ALowerSequenceChangesNothing(t *testing.T) {
	log := kittest.New(t)
	createStream(t, log)
	// A call that loses a race returns Unavailable, and is repeated.
	var all sync.WaitGroup
	for before := range uint64(20) {
		all.Go(func() {
			for {
				err := revocation.Revoke(context.Background(), log.JS, "ana", before+1)
				if err == nil {
					return
				}
				if !errs.Is(err, errs.Unavailable) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	revoke(t, log, "ana", 3)
	l := revocation.New(log.Conn)
	if err := l.Check(t.Context(), signed("ana", 19)); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a token from before the last revocation: %v", err)
	}
	if err := l.Check(t.Context(), signed("ana", 20)); err != nil {
		t.Errorf("a token from after the last revocation: %v", err)
	}
}

func TestList_LoadsMoreThanOneBatch(t *testing.T) {
	log := kittest.New(t)
	createStream(t, log)
	for i := range 600 {
		revoke(t, log, fmt.Sprint("usr_", i), 5)
	}
	l := revocation.New(log.Conn)
	for i := range 600 {
		if err := l.Check(t.Context(), signed(fmt.Sprint("usr_", i), 4)); !errs.Is(err, errs.Unauthenticated) {
			t.Fatalf("usr_%d: %v", i, err)
		}
	}
}

func TestList_RejectsAllUsersWhenItCannotBeUpdated(t *testing.T) {
	log := kittest.New(t)
	l := revocation.New(log.Conn)
	if err := l.Check(t.Context(), signed("ana", 9)); !errs.Is(err, errs.Unavailable) {
		t.Fatalf("without the stream: %v", err)
	}
	createStream(t, log)
	eventually(t, l, signed("ana", 9), "")

	// During the grace period the list is used as it is: without a leader nothing can be
	// revoked either.
	if err := log.JS.DeleteStream(t.Context(), revocation.Stream); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context(), signed("ana", 9)); err != nil {
		t.Errorf("within the grace period: %v", err)
	}

	// A stream that was created again is read from its beginning, and revocations of the
	// old one stay valid.
	createStream(t, log)
	revoke(t, log, "ana", 10)
	eventually(t, l, signed("ana", 9), errs.Unauthenticated)
	if err := log.JS.DeleteStream(t.Context(), revocation.Stream); err != nil {
		t.Fatal(err)
	}
	createStream(t, log)
	revoke(t, log, "bob", 10)
	eventually(t, l, signed("bob", 9), errs.Unauthenticated)
	eventually(t, l, signed("ana", 9), errs.Unauthenticated)

	// A lost connection ends the grace period.
	log.Server.Stop()
	eventually(t, l, signed("carl", 9), errs.Unavailable)
}
