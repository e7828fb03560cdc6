package service_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"lonja/kit/bus"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/revocation"
)

func TestService_AnswersACommandAndReactsToItsEvent(t *testing.T) {
	f := newFixture(t)
	f.start()
	r, err := f.Send(t.Context(), add{"c", 3}, eventlog.Envelope{})
	if err != nil || string(r.Body) != "3" || r.Position == "" || r.EntityID != "c" {
		t.Fatalf("%+v, %v", r, err)
	}
	f.awaitTotal("echo-c", 3)
}

func TestService_RejectsBadCommandsAndGoesOn(t *testing.T) {
	f := newFixture(t)
	f.start()
	for _, test := range []struct{ payload, code, field string }{
		{`{"counter":"c","by":100}`, "invalid", "by"},
		{`{"counter":"c","by":"x"}`, "invalid", "by"},
		{`{"counter":"c","by":1e99}`, "invalid", "by"},
		{`{"counter":"c","buy":1}`, "invalid", "buy"},
		{`{"counter":"c"} {}`, "invalid", ""},
		{`garbage`, "invalid", ""},
		{`{"counter":"c","by":0}`, "internal", ""},
	} {
		m, err := f.log.Conn.Request("commands.counters.add", []byte(test.payload), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var r errs.Error
		if err := json.Unmarshal(m.Data, &r); err != nil || string(r.Code) != test.code || r.Field != test.field {
			t.Errorf("%s: got %s", test.payload, m.Data)
		}
		if strings.Contains(string(m.Data), "zero") {
			t.Errorf("an internal error is shown: %s", m.Data)
		}
	}
	repeated := &nats.Msg{Subject: "commands.counters.add", Header: nats.Header{"twice": {"a", "b"}}, Data: []byte(`{}`)}
	m, err := f.log.Conn.RequestMsg(repeated, 5*time.Second)
	if err != nil || m.Header.Get(bus.HeaderErrorCode) != "invalid" {
		t.Errorf("a repeated header: %v, %v", m, err)
	}
	if _, err := f.Send(t.Context(), add{"c", 1}, eventlog.Envelope{}); err != nil {
		t.Error(err)
	}
}

func TestService_RejectsSendersWhoseTokenWasRevoked(t *testing.T) {
	f := newFixtureWith(t, "  - {name: REVOCATIONS, subjects: [revocations.>], max_msgs_per_subject: 1, allow_direct: true}\n")
	stop := f.start()
	if err := revocation.Revoke(t.Context(), f.log.JS, "ana", 10); err != nil {
		t.Fatal(err)
	}
	by := func(user string, signed uint64) eventlog.Envelope {
		return eventlog.Envelope{ID: eventlog.NewID(), Actor: eventlog.Actor{ID: user, TokenPosition: signed}}
	}
	for _, c := range []struct {
		from eventlog.Envelope
		code errs.Code
	}{{by("ana", 9), errs.Unauthenticated}, {by("ana", 0), errs.Unauthenticated}, {by("ana", 10), ""}, {by("bob", 9), ""}, {by("", 0), ""}} {
		_, sent := f.Send(t.Context(), add{"c", 1}, c.from)
		_, asked := f.Query(t.Context(), total{"c"}, c.from)
		for _, err := range []error{sent, asked} {
			if c.code == "" && err != nil || c.code != "" && !errs.Is(err, c.code) {
				t.Errorf("%+v: want %q, got %v", c.from.Actor, c.code, err)
			}
		}
	}
	f.awaitTotal("c", 3)

	// What was accepted while she was trusted is done, though she is no longer.
	stop()
	left := by("ana", 9)
	if err := f.Defer(t.Context(), add{"c", 1}, left); err != nil {
		t.Fatal(err)
	}
	f.start()
	f.awaitTotal("c", 4)
}
