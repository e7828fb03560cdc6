package eventlog_test

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

func TestParseEnvelope_ReturnsTheWrittenEnvelope(t *testing.T) {
	want := eventlog.Envelope{
		ID: "e1", Type: "kittest.added.v1", Source: "counters", Time: time.Date(2026, 11, 23, 1, 2, 3, 456_000, time.UTC),
		Causation: "c1", Correlation: "c0", Actor: eventlog.Actor{ID: "ana", Roles: []string{"customer", "staff"}},
		RequestHash: "h", Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", After: "COUNTERS:1",
	}
	got, err := eventlog.ParseEnvelope(want.Header().Get)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	metadata := want.Metadata()
	got, err = eventlog.ParseEnvelope(func(key string) string { return metadata[key] })
	if err != nil || !reflect.DeepEqual(got, want) || len(metadata) != len(want.Header()) {
		t.Errorf("as metadata %+v, %v\nwant %+v", metadata, err, want)
	}
}

func TestParseEnvelope_RejectsTimesThatCannotBeWrittenAgain(t *testing.T) {
	for _, s := range []string{"yesterday", "0000-01-01T00:00:00+23:59", "2026-11-23", "99999-01-01T00:00:00Z"} {
		h := eventlog.Envelope{ID: "e1"}.Header()
		h.Set(eventlog.HeaderTime, s)
		if e, err := eventlog.ParseEnvelope(h.Get); err == nil {
			t.Errorf("%q is parsed as %v", s, e.Time)
		}
	}
}

func TestDeriveID_NeverChanges(t *testing.T) {
	if got := eventlog.DeriveID("a", "b"); got != "b8d7c005-bbb8-5997-8ff2-4eb692802c98" {
		t.Errorf("got %s: ids in existing logs would no longer match", got)
	}
	if eventlog.DeriveID("a", "b") == eventlog.DeriveID("ab") {
		t.Error("parts are not separated")
	}
	if got := eventlog.NewEntityID("ord_", "0198F3C2-7C1E-7D50-A4A2-0123456789AB"); got != "ord_0198f3c27c1e7d50a4a20123456789ab" {
		t.Error(got)
	}
}

// Events of earlier versions have the id as a UUID, and a replica of one derives it so.
func TestEventID_HasTheBytesOfTheIDOfEarlierVersions(t *testing.T) {
	for _, command := range []string{"0198f3c2-7c1e-7d50-a4a2-0123456789ab", "pay-1", ""} {
		id, err := base64.RawURLEncoding.DecodeString(eventlog.EventID(command))
		if err != nil || !bytes.Equal(id, eventlog.CompactID(eventlog.LegacyEventID(command))) {
			t.Errorf("%q: %x, %v", command, id, err)
		}
	}
	if got := eventlog.LegacyEventID("pay-1"); got != eventlog.DeriveID("fact", "pay-1") {
		t.Errorf("got %s: ids in existing logs would no longer match", got)
	}
}

// Events do not store a trace that follows from the command, so it must never change.
func TestTraceOf_NeverChangesAndIsAlwaysValid(t *testing.T) {
	for command, want := range map[string]string{
		"0198f3c2-7c1e-7d50-a4a2-0123456789ab": "00-0198f3c27c1e7d50a4a20123456789ab-a4a20123456789ab-01",
		"4bf92f3577b34da6a3ce929d0e0e4736":     "00-4bf92f3577b34da6a3ce929d0e0e4736-a3ce929d0e0e4736-01",
		"pay-1":                                "00-2331a3452a0c532999495cf783c5f5ae-99495cf783c5f5ae-01",
		"00000000-0000-0000-0000-000000000000": "",
		"00000000-0000-0001-0000-000000000000": "",
		"":                                     "",
	} {
		got := eventlog.TraceOf(command)
		if want != "" && got != want {
			t.Errorf("%q: got %s", command, got)
		}
		if !regexp.MustCompile("^00-[0-9a-f]{32}-[0-9a-f]{16}-01$").MatchString(got) || strings.Contains(got, "-0000000000000000-") || strings.Contains(got, "-00000000000000000000000000000000-") {
			t.Errorf("%q: %s is no traceparent", command, got)
		}
	}
}

func TestActor_RequireForbidsActorsWithoutOneOfTheRoles(t *testing.T) {
	for _, roles := range [][]string{{"staff"}, {"admin"}, {"customer", "admin"}} {
		if err := (eventlog.Actor{Roles: roles}).Require("staff", "admin"); err != nil {
			t.Errorf("%v: %v", roles, err)
		}
	}
	for _, roles := range [][]string{nil, {"customer"}, {"Staff"}, {""}} {
		r, _ := errs.As((eventlog.Actor{ID: "usr_1", Roles: roles}).Require("staff", "admin"))
		if r == nil || r.Code != errs.Forbidden || r.Detail != "only staff may do this" || r.Field != "" {
			t.Errorf("%v: %v", roles, r)
		}
	}
}
