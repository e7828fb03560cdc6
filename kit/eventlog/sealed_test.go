package eventlog_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

// noted are the type and the subject of the event with a sealed member.
const (
	notedType    = "kittest.counter.noted.v1"
	notedSubject = "events.counter.c.noted"
)

// sealing returns a log that seals with keys, which may be nil, on the server of another one.
func sealing(js jetstream.JetStream, keys *kittest.Keys) *eventlog.Log {
	l := eventlog.New(js, kittest.SealedCodec)
	if keys != nil {
		l.Keys = keys
	}
	return l
}

// envelope returns an envelope as a decision makes it.
func envelope() eventlog.Envelope {
	id := eventlog.NewID()
	return eventlog.Envelope{ID: id, Causation: "command-" + id, Time: time.Now()}
}

// appendNote appends an event with a sealed member, after whatever is there.
func appendNote(t *testing.T, l *eventlog.Log, note string) eventlog.Record {
	t.Helper()
	last, err := l.Last(t.Context(), kittest.Stream, filter)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Append(t.Context(), kittest.Stream, filter, last, envelope(), kittest.Noted{Counter: "c", Note: note})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLog_SealsAnEventAndOpensItAgain(t *testing.T) {
	log, keys := kittest.New(t), &kittest.Keys{}
	l := sealing(log.JS, keys)
	appended := appendNote(t, l, "a secret <note>")
	read, err := l.At(t.Context(), kittest.Stream, appended.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if want := (kittest.Noted{Counter: "c", Note: "a secret <note>"}); read.Event != want || appended.Event != want {
		t.Errorf("appended %+v, read %+v, %v", appended.Event, read.Event, read.Err)
	}
	if string(read.Data) != string(appended.Data) {
		t.Errorf("the record of the append has the data %s, the log has %s", appended.Data, read.Data)
	}
	var wire struct {
		Counter string
		Sealed  map[string]string
		Note    any
	}
	if err := json.Unmarshal(read.Data, &wire); err != nil {
		t.Fatal(err)
	}
	if wire.Counter != "c" || wire.Note != nil || len(wire.Sealed) != 2 || wire.Sealed["for"] != "c" || strings.Contains(string(read.Data), "secret") {
		t.Errorf("on the wire: %s", read.Data)
	}
	if again := appendNote(t, l, "a secret <note>"); string(again.Data) == string(appended.Data) {
		t.Error("two events with the same content look the same")
	}
}

// A program without keys reads the event without the sealed members, and so does every
// program once the key was destroyed.
func TestLog_WithholdsWhatItCannotOpen(t *testing.T) {
	log, keys := kittest.New(t), &kittest.Keys{}
	l := sealing(log.JS, keys)
	at := appendNote(t, l, "a secret note").Sequence
	want := kittest.Noted{Sealed: eventlog.Sealed{Withheld: true}, Counter: "c"}
	if r, err := sealing(log.JS, nil).At(t.Context(), kittest.Stream, at); err != nil || r.Event != want || r.Err != nil {
		t.Errorf("without keys: %+v, %v, %v", r.Event, r.Err, err)
	}
	keys.Destroy("c")
	r, err := l.At(t.Context(), kittest.Stream, at)
	if err != nil || r.Event != want || r.Err != nil || r.Unavailable {
		t.Errorf("with the key destroyed: %+v, %v, %v", r.Event, r.Err, err)
	}
	if !strings.Contains(string(r.Data), "sealed") || strings.Contains(string(r.Data), "withheld") {
		t.Errorf("the record's data is not as stored: %s", r.Data)
	}
	for name, append := range map[string]struct {
		log   *eventlog.Log
		event kittest.Noted
		want  error
	}{
		"a withheld event":          {l, want, nil},
		"for a destroyed key":       {l, kittest.Noted{Counter: "c", Note: "another"}, eventlog.ErrKeyDestroyed},
		"by a program without keys": {sealing(log.JS, nil), kittest.Noted{Counter: "c", Note: "another"}, nil},
	} {
		_, err := append.log.Append(t.Context(), kittest.Stream, filter, at, envelope(), append.event)
		if err == nil || append.want != nil && !errors.Is(err, append.want) {
			t.Errorf("%s is appended: %v", name, err)
		}
	}
	if r := decodeNoted(l, `{"counter":"c","sealed":{"for":"c","data":"AAAA"}}`); r.Event == nil {
		t.Errorf("what cannot be checked any more is not an event: %v", r.Err)
	}
}

func TestLog_AnEventWhoseKeyCannotBeHadNowIsUnavailable(t *testing.T) {
	log, keys := kittest.New(t), &kittest.Keys{}
	l := sealing(log.JS, keys)
	at := appendNote(t, l, "a note").Sequence
	keys.TakeAway(errors.New("the keys are away"))
	r, err := l.At(t.Context(), kittest.Stream, at)
	if err != nil || r.Event != nil || !r.Unavailable || r.UnknownType || r.Err == nil || !strings.Contains(r.Err.Error(), "the keys are away") {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := l.Append(t.Context(), kittest.Stream, filter, at, envelope(), kittest.Noted{Counter: "c", Note: "another"}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("append: %v", err)
	}
	keys.TakeAway(nil)
	if r, err = l.At(t.Context(), kittest.Stream, at); err != nil || r.Event != (kittest.Noted{Counter: "c", Note: "a note"}) {
		t.Errorf("later: %+v, %v", r, err)
	}
}

// decodeNoted decodes a payload as that of the event with a sealed member.
func decodeNoted(l *eventlog.Log, payload string) eventlog.Record {
	return l.Decode(kittest.Stream, 1, notedSubject, header(notedType), []byte(payload))
}

func header(typ string) nats.Header {
	env := envelope()
	env.Type = typ
	return env.Header()
}

// What was changed on the way, or moved from elsewhere, is not an event, whether the program
// has keys, has none or cannot get them now.
func TestLog_WhatWasTamperedWithIsNotAnEvent(t *testing.T) {
	log, keys := kittest.New(t), &kittest.Keys{}
	l := sealing(log.JS, keys)
	good := string(appendNote(t, l, "a note").Data)
	if _, err := keys.MakeKey(t.Context(), "d"); err != nil {
		t.Fatal(err)
	}
	var wire struct{ Sealed struct{ Data []byte } }
	if err := json.Unmarshal([]byte(good), &wire); err != nil {
		t.Fatal(err)
	}
	data := func(d []byte) string { return base64.StdEncoding.EncodeToString(d) }
	flipped := append([]byte(nil), wire.Sealed.Data...)
	flipped[len(flipped)-1] ^= 1
	sealed := func(owner, data string) string {
		return fmt.Sprintf(`{"counter":"c","sealed":{"for":%q,"data":%q}}`, owner, data)
	}
	always := map[string]string{
		"plain text":           `{"counter":"c","note":"a note"}`,
		"no sealed member":     `{"counter":"c"}`,
		"withheld on the wire": `{"counter":"c","withheld":true}`,
		"withheld and sealed":  strings.Replace(good, `{"counter"`, `{"withheld":true,"counter"`, 1),
		"Withheld and sealed":  strings.Replace(good, `{"counter"`, `{"Withheld":true,"counter"`, 1),
		"plain and sealed":     strings.Replace(good, `{"counter"`, `{"note":"another","counter"`, 1),
		"Plain and sealed":     strings.Replace(good, `{"counter"`, `{"NOTE":"another","counter"`, 1),
		"another owner":        sealed("d", data(wire.Sealed.Data)),
		"an unknown owner":     sealed("e", data(wire.Sealed.Data)),
		"no owner":             sealed("", data(wire.Sealed.Data)),
		"a pattern as owner":   sealed(">", data(wire.Sealed.Data)),
		"sealed is a list":     `{"counter":"c","sealed":[]}`,
		"sealed is null":       `{"counter":"c","sealed":null}`,
		"data is no base64":    sealed("c", "a note"),
		"null":                 `null`,
		"a list":               `[]`,
		"cut off":              good[:len(good)-3],
		"another counter":      strings.Replace(good, `"counter":"c"`, `"counter":"d"`, 1),
	}
	withKeys := map[string]string{
		"a flipped bit": sealed("c", data(flipped)),
		"no data":       sealed("c", ""),
		"a nonce only":  sealed("c", data(wire.Sealed.Data[:24])),
		"cut data":      sealed("c", data(wire.Sealed.Data[:len(wire.Sealed.Data)-1])),
	}
	check := func(l *eventlog.Log, who, what, payload string) {
		t.Helper()
		if r := decodeNoted(l, payload); r.Event != nil || r.Err == nil || r.Unavailable || r.UnknownType {
			t.Errorf("%s, %s: %+v, %v, unavailable: %v", who, what, r.Event, r.Err, r.Unavailable)
		} else if strings.Contains(r.Err.Error(), "a note") {
			t.Errorf("%s, %s: the error shows what was sealed: %v", who, what, r.Err)
		}
	}
	for what, payload := range withKeys {
		check(l, "with keys", what, payload)
	}
	for what, payload := range always {
		check(l, "with keys", what, payload)
		check(sealing(log.JS, nil), "without keys", what, payload)
	}
	keys.TakeAway(errors.New("away"))
	for what, payload := range always {
		check(l, "while the keys are away", what, payload)
	}
	keys.TakeAway(nil)
	if r := decodeNoted(l, good); r.Event == nil {
		t.Errorf("the unchanged one: %v", r.Err)
	}
}

// reNoted is another type of event of the same entity and owner.
type reNoted struct{ kittest.Noted }

func (reNoted) EventName() string { return "counter.renoted.v1" }

// What was sealed in one type of event cannot be moved to another.
func TestLog_WhatWasSealedForAnotherTypeIsNotAnEvent(t *testing.T) {
	log, keys := kittest.New(t), &kittest.Keys{}
	good := appendNote(t, sealing(log.JS, keys), "a note").Data
	l := eventlog.New(log.JS, eventlog.NewCodec("kittest", kittest.Noted{}, reNoted{}))
	l.Keys = keys
	r := l.Decode(kittest.Stream, 1, "events.counter.c.renoted", header("kittest.counter.renoted.v1"), good)
	if r.Event != nil || r.Err == nil || r.Unavailable {
		t.Errorf("got %+v, %v", r.Event, r.Err)
	}
}

// filed is an event of which several entities have one owner.
type filed struct {
	eventlog.Sealed
	Counter string `json:"counter"`
	Owner   string `json:"owner"`
	Note    string `json:"note,omitempty" sealed:"true"`
}

func (filed) EventName() string  { return "counter.filed.v1" }
func (f filed) EntityID() string { return f.Counter }
func (f filed) KeyOwner() string { return f.Owner }
func (filed) Check() error       { return nil }

// What was sealed in an event of one entity cannot be moved to one of another, although both
// have the same type and owner.
func TestLog_WhatWasSealedForAnotherEntityIsNotAnEvent(t *testing.T) {
	l := eventlog.New(nil, eventlog.NewCodec("kittest", filed{}))
	l.Keys = &kittest.Keys{}
	first := filed{Counter: "c", Owner: "o", Note: "a note"}
	payload, err := l.Encode(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	decode := func(counter string) eventlog.Record {
		moved := strings.Replace(string(payload), `"counter":"c"`, fmt.Sprintf(`"counter":%q`, counter), 1)
		return l.Decode(kittest.Stream, 1, "events.counter."+counter+".filed", header("kittest.counter.filed.v1"), []byte(moved))
	}
	if r := decode("c"); r.Event != first {
		t.Errorf("where it belongs: %+v, %v", r.Event, r.Err)
	}
	if r := decode("d"); r.Event != nil || r.Err == nil || r.Unavailable {
		t.Errorf("at another entity: %+v, %v", r.Event, r.Err)
	}
}

// No payload makes the decoder panic, and none but a genuine one is decoded as if it had been
// opened.
func FuzzLog_DecodesNoForgery(f *testing.F) {
	keys := &kittest.Keys{}
	if _, err := keys.MakeKey(f.Context(), "c"); err != nil {
		f.Fatal(err)
	}
	l := sealing(nil, keys)
	for _, seed := range []string{
		`{"counter":"c","note":"x"}`, `{"counter":"c","sealed":{"for":"c","data":"AAAA"}}`, `{"counter":"c","sealed":{"for":"c"}}`,
		`{"sealed":{"for":"c","data":null},"withheld":false}`, `null`, `[]`, `"`, `{"sealed":1}`, `{"counter":"c","sealed":{"for":"c","data":"` + strings.Repeat("A", 120) + `"}}`,
		`{"counter":"c","counter":"d","sealed":{"for":"c","data":""},"sealed":{"for":"d","data":""}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if r := l.Decode(kittest.Stream, 1, notedSubject, header(notedType), payload); r.Event != nil {
			t.Errorf("%s is decoded: %+v", payload, r.Event)
		}
		withheld := sealing(nil, nil).Decode(kittest.Stream, 1, notedSubject, header(notedType), payload)
		if e, ok := withheld.Event.(kittest.Noted); ok && (!e.Withheld || e.Note != "") {
			t.Errorf("without keys, %s is decoded: %+v", payload, e)
		}
	})
}

type ownerless struct {
	eventlog.Sealed
	Door string `json:"door" sealed:"true"`
}

func (ownerless) EventName() string { return "door.opened.v1" }
func (ownerless) EntityID() string  { return "d" }
func (ownerless) Check() error      { return nil }

type unmarked struct {
	Door string `json:"door" sealed:"true"`
}

func (unmarked) EventName() string { return "door.opened.v1" }
func (unmarked) EntityID() string  { return "d" }
func (unmarked) KeyOwner() string  { return "d" }
func (unmarked) Check() error      { return nil }

type unnamed struct {
	eventlog.Sealed
	Door string `sealed:"true"`
}

func (unnamed) EventName() string { return "door.opened.v1" }
func (unnamed) EntityID() string  { return "d" }
func (unnamed) KeyOwner() string  { return "d" }
func (unnamed) Check() error      { return nil }

func TestNewCodec_PanicsOnWrongSealedFields(t *testing.T) {
	for name, event := range map[string]eventlog.Event{"no KeyOwner": ownerless{}, "no Withheld": unmarked{}, "no name": unnamed{}} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			eventlog.NewCodec("house", event)
		})
	}
	if got := kittest.SealedCodec.Sealed(notedType); len(got) != 1 || got[0] != "note" {
		t.Errorf("the sealed members are %q", got)
	}
	if got := kittest.SealedCodec.Sealed("kittest.counter.added.v1"); got != nil {
		t.Errorf("an event without sealed members has %q", got)
	}
}
