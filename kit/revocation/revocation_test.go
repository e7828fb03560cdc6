package revocation_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
	"lonja/kit/revocation"
)

func makeStream(t *testing.T, log *kittest.Log) {
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

func signed(user string, at uint64) eventlog.Actor { return eventlog.Actor{ID: user, Signed: at} }

// becomes waits until a list says what it should, "" for nothing.
func becomes(t *testing.T, l *revocation.List, who eventlog.Actor, code errs.Code) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		err := l.Check(t.Context(), who)
		if err == nil && code == "" || err != nil && errs.Is(err, code) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v: want %q, got %v", who, code, err)
		}
	}
}

func TestList_RefusesWhatWasSignedBefore(t *testing.T) {
	log := kittest.New(t)
	makeStream(t, log)
	old := revocation.New(log.Conn)
	becomes(t, old, signed("ana", 9), "")
	revoke(t, log, "ana", 10)
	for name, l := range map[string]*revocation.List{"one that ran before": old, "one that starts": revocation.New(log.Conn)} {
		becomes(t, l, signed("ana", 9), errs.Unauthenticated)
		for _, c := range []struct {
			who     eventlog.Actor
			refused bool
		}{
			{signed("ana", 9), true}, {signed("ana", 0), true}, {signed("ana", 10), false}, {signed("ana", 11), false},
			{signed("bob", 9), false}, {signed("bob", 0), false}, {signed("", 0), false}, {signed("service:ana", 0), false},
		} {
			if err := l.Check(t.Context(), c.who); errs.Is(err, errs.Unauthenticated) != c.refused || !c.refused && err != nil {
				t.Errorf("%s: %+v: %v", name, c.who, err)
			}
		}
	}
}

func TestRevoke_WhatComesLateTakesNothingBack(t *testing.T) {
	log := kittest.New(t)
	makeStream(t, log)
	// Those that lose the race say that it is not done yet, and do it again.
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
		t.Errorf("before the last one: %v", err)
	}
	if err := l.Check(t.Context(), signed("ana", 20)); err != nil {
		t.Errorf("after the last one: %v", err)
	}
}

func TestList_LoadsMoreThanOneRequestBrings(t *testing.T) {
	log := kittest.New(t)
	makeStream(t, log)
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

func TestList_WhoCannotAskLetsNobodyPass(t *testing.T) {
	log := kittest.New(t)
	l := revocation.New(log.Conn)
	if err := l.Check(t.Context(), signed("ana", 9)); !errs.Is(err, errs.Unavailable) {
		t.Fatalf("without the stream: %v", err)
	}
	makeStream(t, log)
	becomes(t, l, signed("ana", 9), "")

	// It goes on for a while with what it knows: no leader, no revocation.
	if err := log.JS.DeleteStream(t.Context(), revocation.Stream); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(t.Context(), signed("ana", 9)); err != nil {
		t.Errorf("just now it could ask: %v", err)
	}

	// A stream that was made anew is read from its beginning, and what is known of
	// the one before stays.
	makeStream(t, log)
	revoke(t, log, "ana", 10)
	becomes(t, l, signed("ana", 9), errs.Unauthenticated)
	if err := log.JS.DeleteStream(t.Context(), revocation.Stream); err != nil {
		t.Fatal(err)
	}
	makeStream(t, log)
	revoke(t, log, "bob", 10)
	becomes(t, l, signed("bob", 9), errs.Unauthenticated)
	becomes(t, l, signed("ana", 9), errs.Unauthenticated)

	// While it is cut off, what it knows is not enough.
	log.Server.Stop()
	becomes(t, l, signed("carl", 9), errs.Unavailable)
}
