package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/test/compat"
)

// The first administrator, as in the tests' harness. The password is changed to the one
// that the harness knows.
const (
	adminEmail    = "boss@shop.example"
	firstPassword = "the first of two passwords"
	adminPassword = "a long enough password"
)

// A hundred years: how long the orders wait that a test goes on with.
const century = "876000h"

// tale is all that happens in a shop before it is killed.
type tale struct {
	*parts
	record    compat.Record
	boss, sam *person // an administrator; staff
	dora      *person // whose orders change once the shop is opened again
	customers []*person
	reminded  time.Time // when the first timer was set that is to be pending
	unwanted  order     // dora's, which she cancels while orders is down
}

func newTale(s *parts, commit string) *tale {
	t := &tale{parts: s, record: compat.Record{Commit: commit, Made: time.Now().UTC().Truncate(time.Second), Orders: map[string][]compat.Held{}}}
	t.boss = t.person("boss", adminEmail, firstPassword)
	t.sam = t.person("sam", "sam@shop.example", "password of sam")
	t.dora = t.person("dora", "dora@example.com", "password of dora")
	for _, name := range []string{"ana", "ben", "cleo", "dan", "eve", "finn"} {
		t.customers = append(t.customers, t.person(name, name+"@example.com", "password of "+name))
	}
	odd := t.person("uebel", "Übel.Ångström@Exämple.com", "pässwörd of übel")
	odd.Spellings = []string{"übel.ångström@exämple.com", "ÜBEL.ÅNGSTRÖM@EXÄMPLE.COM", "U\u0308bel.A\u030angstro\u0308m@exa\u0308mple.com", " Übel.Ångström@Exämple.com "}
	t.customers[0].Spellings = []string{"Ana@Example.com", "ANA@EXAMPLE.COM"}
	t.customers = append(t.customers, odd)
	return t
}

func (t *tale) person(name, email, password string) *person {
	return &person{tale: t, Account: compat.Account{Name: name, Email: email, Password: password}}
}

func (t *tale) everybody() []*person {
	return append([]*person{t.boss, t.sam, t.dora}, t.customers...)
}

// chapter is a part of a tale.
type chapter struct {
	name string
	tell func(context.Context) error
}

func (t *tale) tell(ctx context.Context) error {
	for _, c := range []chapter{
		{"ready", t.ready},
		{"accounts", t.openAccounts},
		{"products", t.sell},
		{"orders that expire", t.expire},
		{"orders that cross", t.cross},
		{"orders of every ending", t.order},
		{"a command that was deferred", t.deferOne},
		{"accounts that change", t.changeAccounts},
		{"messages that are no events", t.poison},
		{"sessions of a hundred years", t.openSessions},
		{"orders that wait for a timer", t.remind},
		{"everything is said", t.rest},
		{"requests again", t.repeat},
		{"reads", t.readAll},
		{"services down", t.deferMany},
		{"the record", t.collect},
	} {
		began := time.Now()
		if err := c.tell(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Printf("%-28s %v\n", c.name, time.Since(began).Round(10*time.Millisecond))
	}
	return nil
}

func (t *tale) ready(ctx context.Context) error {
	return eventually(ctx, func() error {
		res, err := http.Get("http://" + httpAddr + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New("not ready: " + res.Status)
		}
		return nil
	})
}

// rest waits until no shared consumer has anything left.
func (t *tale) rest(ctx context.Context) error {
	return t.onNATS(func(js jetstream.JetStream) error {
		return eventually(ctx, func() error {
			for info := range js.ListStreams(ctx).Info() {
				stream, err := js.Stream(ctx, info.Config.Name)
				if err != nil {
					return err
				}
				for c := range stream.ListConsumers(ctx).Info() {
					if c.NumPending+uint64(c.NumAckPending) > 0 {
						return fmt.Errorf("%s is not at rest", c.Name)
					}
				}
			}
			return nil
		})
	})
}

// collect completes the record.
func (t *tale) collect(ctx context.Context) error {
	for _, p := range t.everybody() {
		t.record.Accounts = append(t.record.Accounts, p.Account)
	}
	return t.onNATS(func(js jetstream.JetStream) error {
		types := map[string]bool{}
		for _, stream := range []string{"CATALOG", "INVENTORY", "ORDERS", "PAYMENTS", "IDENTITY", "DEFERRED"} {
			err := each(ctx, js, stream, func(m *jetstream.RawStreamMsg) {
				switch {
				case stream != "DEFERRED":
					if typ := m.Header.Get("ce-type"); !slices.Contains(poisoned, m.Subject) {
						types[typ] = true
					}
				case slices.ContainsFunc(t.record.Deferred, func(e compat.Exchange) bool { return pending(e, m.Subject) }):
					t.record.Stored = append(t.record.Stored, compat.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
				}
			})
			if err != nil {
				return err
			}
		}
		for typ := range types {
			t.record.Types = append(t.record.Types, typ)
		}
		slices.Sort(t.record.Types)
		if time.Since(t.reminded) > beforeTimers-5*time.Second {
			return errors.New("this machine is too slow: timers are due that should be pending when the shop is killed")
		}
		if len(t.record.Stored) != len(t.record.Deferred) {
			return fmt.Errorf("%d commands were deferred, and %d are stored", len(t.record.Deferred), len(t.record.Stored))
		}
		return nil
	})
}

// each reads a stream from its first message to its last.
func each(ctx context.Context, js jetstream.JetStream, name string, see func(*jetstream.RawStreamMsg)) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, seq, err)
		}
		see(m)
	}
	return nil
}

// onNATS connects as an operator does.
func (t *tale) onNATS(do func(jetstream.JetStream) error) error {
	nc, err := nats.Connect(natsURL)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return do(js)
}

// unmarshal is json.Unmarshal of an answer, whose error shows it.
func unmarshal(e compat.Exchange, out any) error {
	if err := json.Unmarshal(e.Answer, out); err != nil {
		return fmt.Errorf("%s %s: %w in %s", e.Method, e.Path, err, e.Answer)
	}
	return nil
}
