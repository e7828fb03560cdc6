package identity

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// added is a key that signs from a time on.
func added(n byte, activeAt time.Time) events.RealmKeyAdded {
	return newKey(bytes.Repeat([]byte{n}, 32), activeAt)
}

func TestKeys_WhatEachDoesAtATime(t *testing.T) {
	second, third := noon.Add(time.Hour), noon.Add(time.Hour+keyLead)
	ks := given(issuerType, added(1, noon), added(2, second), added(3, third)).keys
	for _, c := range []struct {
		at             time.Duration // after noon
		signs, retired int
		pending        string
	}{
		{at: -time.Minute, signs: 0, retired: 0, pending: "yes"}, // another replica's clock
		{at: 0, signs: 0, retired: 0, pending: "yes"},
		{at: time.Hour - 1, signs: 0, retired: 0, pending: "yes"},
		{at: time.Hour, signs: 1, retired: 0, pending: "yes"},
		{at: time.Hour + keyLead, signs: 2, retired: 0},
		{at: time.Hour + keyLinger - 1, signs: 2, retired: 0},
		{at: time.Hour + keyLinger, signs: 2, retired: 1},
		{at: time.Hour + keyLead + keyLinger, signs: 2, retired: 2},
		{at: 1000 * time.Hour, signs: 2, retired: 2},
	} {
		now := noon.Add(c.at)
		k, err := ks.signer(now)
		if err != nil || k.id != ks[c.signs].id || ks.retired(now) != c.retired || ks.pending(now) != (c.pending != "") {
			t.Errorf("%v after noon: key %s signs (%v), %d are retired, pending %v", c.at, k.id, err, ks.retired(now), ks.pending(now))
		}
	}
	if _, err := (keys)(nil).signer(noon); !errs.Is(err, errs.Unavailable) {
		t.Errorf("without any key: %v", err)
	}
}

func TestKeys_AWithheldOneNeverSigns(t *testing.T) {
	withheld := events.RealmKeyAdded{KeyID: "gone", PublicKey: publicHalf(seed), ActiveAt: noon}
	withheld.Withheld = true
	if err := withheld.Check(); err != nil {
		t.Fatal(err)
	}
	ks := given(issuerType, withheld, added(2, noon.Add(time.Hour))).keys
	if k, err := ks.signer(noon); err != nil || k.id != ks[1].id {
		t.Errorf("%s signs in its place: %v", k.id, err)
	}
	if _, err := ks[:1].signer(noon); !errs.Is(err, errs.Unavailable) {
		t.Errorf("it is the only key: %v", err)
	}
}

func TestRotateKey(t *testing.T) {
	for name, c := range map[string]struct {
		given []events.Event
		now   time.Time
		adds  bool
	}{
		"adds a key that signs later":            {[]events.Event{added(1, noon)}, noon.Add(time.Hour), true},
		"does nothing while one does not sign":   {[]events.Event{added(1, noon), added(2, noon.Add(keyLead))}, noon.Add(keyLead - 1), false},
		"adds another when that one signs":       {[]events.Event{added(1, noon), added(2, noon.Add(keyLead))}, noon.Add(keyLead), true},
		"does nothing where a clock is far late": {[]events.Event{added(1, noon)}, noon.Add(-time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			var want events.Event
			if c.adds {
				want = newKey(seed, c.now.Add(keyLead))
			}
			got, err := rotateKey(given(issuerType, c.given...), command.RotateKey{}, seed, decider.Meta{Now: c.now})
			then(t, got, err, want, "")
		})
	}
}

func TestKeys_OutdatedByAge(t *testing.T) {
	const age = 90 * 24 * time.Hour
	ks := given(issuerType, added(1, noon)).keys
	for _, c := range []struct {
		after, age time.Duration
		want       bool
	}{{age - 1, age, false}, {age, age, true}, {10 * age, 0, false}} {
		if got := ks.outdated(noon.Add(c.after), c.age); got != c.want {
			t.Errorf("%v after it began to sign, at an age of %v: %v", c.after, c.age, got)
		}
	}
	plain := slices.Clone(ks)
	plain[0].plain = true
	if plain.outdated(noon.Add(10*age), age) {
		t.Error("a key of an earlier version is replaced without an operator")
	}
}

func TestSigningKeys_AsAnOperatorSeesThem(t *testing.T) {
	record := func(typ string, e events.RealmKeyAdded, at time.Time) eventlog.Record {
		e.Withheld, e.Seed = true, nil // an operator has no keys
		return eventlog.Record{Envelope: eventlog.Envelope{Type: typ, Time: at}, Event: e}
	}
	earlier := added(1, time.Time{})
	log := []eventlog.Record{
		record("lonja.realm.key_added.v1", earlier, noon),
		{Subject: "events.realm.main.key_added"}, // not an event
		record("lonja.realm.key_added.v2", added(2, noon.Add(time.Hour)), noon.Add(time.Hour-keyLead)),
	}
	for _, c := range []struct {
		at   time.Duration
		want []KeyState
	}{
		{time.Minute, []KeyState{KeySigns, KeyPending}},
		{time.Hour, []KeyState{KeyVerifies, KeySigns}},
		{time.Hour + keyLinger, []KeyState{KeyRetired, KeySigns}},
	} {
		all := SigningKeys(log, noon.Add(c.at))
		if len(all) != 2 || all[0].State != c.want[0] || all[1].State != c.want[1] {
			t.Fatalf("%v after noon: %+v", c.at, all)
		}
		if all[0].ID != earlier.KeyID || !all[0].Plain || !all[0].ActiveAt.Equal(noon) || all[1].Plain {
			t.Errorf("%+v", all)
		}
	}
}
