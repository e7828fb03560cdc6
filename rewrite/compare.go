package rewrite

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"

	"github.com/nats-io/nats.go"

	"lonja/events"
	"lonja/kit/eventlog"
)

// reopenTarget closes the copy and opens it as the shop will, so that everything that follows
// is about what is on the disk.
func (r *rewriting) reopenTarget(ctx context.Context) (err error) {
	r.target.close()
	if r.target, err = openStore(r.copy); err != nil {
		return err
	}
	return r.openKeys(ctx)
}

// compare compares the accounts of both logs, message by message.
func (r *rewriting) compare(ctx context.Context) error {
	older, newer := eventlog.New(r.source.js, r.Codec), eventlog.New(r.target.js, r.Codec)
	newer.Keys = r.keys
	reading, stop := context.WithCancel(ctx)
	defer stop()
	written, failed := make(chan stored, 1_000), make(chan error, 1)
	go func() {
		defer close(written)
		_, err := r.target.each(reading, accounts, func(m stored) error {
			select {
			case written <- m:
				return nil
			case <-reading.Done():
				return reading.Err()
			}
		})
		failed <- err
	}()
	_, err := r.source.each(ctx, accounts, func(was stored) error {
		is, more := <-written
		if !more {
			return fmt.Errorf("%s:%d is not in the copy: %w", accounts, was.sequence, cmp.Or(<-failed, io.ErrUnexpectedEOF))
		}
		if err := r.compareOne(older, newer, was, is); err != nil {
			return fmt.Errorf("%s:%d: %w", accounts, was.sequence, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if extra, more := <-written; more {
		return fmt.Errorf("the copy has %s:%d too", accounts, extra.sequence)
	}
	return <-failed
}

func (r *rewriting) compareOne(older, newer *eventlog.Log, was, is stored) error {
	header := was.header
	if r.changed[was.sequence] {
		header = maps.Clone(header)
		header.Set(eventlog.HeaderType, is.header.Get(eventlog.HeaderType))
	}
	if was.sequence != is.sequence || was.subject != is.subject || !equalHeaders(header, is.header) {
		return errors.New("its place, subject or headers differ in the copy")
	}
	if !r.changed[was.sequence] {
		if !bytes.Equal(was.data, is.data) {
			return errors.New("its data differs in the copy")
		}
		read := newer.Read(accounts, is.sequence, is.subject, is.header, is.data)
		if read.Event != nil {
			return r.texts.addSealedOf(read.Event) // sealed before, and in plain text nowhere
		}
		return nil
	}
	then := older.Read(accounts, was.sequence, was.subject, was.header, was.data)
	now := newer.Read(accounts, is.sequence, is.subject, is.header, is.data)
	if then.Event == nil || now.Event == nil {
		return errors.Join(errors.New("it cannot be read in the copy"), then.Err, now.Err)
	}
	want := then.Event
	if of, ok := want.(interface{ KeyOwner() string }); ok && r.forgotten[of.KeyOwner()] {
		r.report.Forgotten++
		var err error
		if want, err = r.withheld(want); err != nil {
			return err
		}
	}
	if !reflect.DeepEqual(want, now.Event) {
		return errors.New("its event differs in the copy")
	}
	return nil
}

// withheld returns an event as a program reads it that cannot open it.
func (r *rewriting) withheld(e events.Event) (events.Event, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	for _, sealed := range events.SealedMembers(events.Type(e)) {
		delete(members, sealed)
	}
	members["withheld"] = json.RawMessage("true")
	if data, err = json.Marshal(members); err != nil {
		return nil, err
	}
	return r.Codec.Decode(events.Type(e), data)
}

func equalHeaders(a, b nats.Header) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}
