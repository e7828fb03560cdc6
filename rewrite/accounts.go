package rewrite

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"lonja/events"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
)

// accounts is the stream whose events had personal data and secrets in plain text.
const accounts = "IDENTITY"

// openSource opens a copy of the streams that may have to be rewritten, and reads what the
// accounts hold in plain text.
func (r *rewriting) openSource(ctx context.Context) error {
	err := copyTree(ctx, r.Data, r.older, func(path string) bool {
		return inside(natsFolder, path) || inside(path, natsFolder) &&
			(!underStreams(path) || inStream(path, accounts, bus.DeadLetterStream, bus.RetryStream))
	})
	if err != nil {
		return err
	}
	if r.source, err = openStore(r.older); err != nil {
		return err
	}
	state, err := r.source.state(ctx, accounts)
	if err != nil {
		return err
	}
	if state.Msgs > 0 && (state.FirstSeq != 1 || state.LastSeq != state.Msgs) {
		return fmt.Errorf("%s lacks messages, so the copy could not have the same sequences: lonja audit names them", accounts)
	}
	log := eventlog.New(r.source.js, r.Codec) // without keys: only what is in plain text is read
	r.renewed = []string{accounts}
	r.report.Events, err = r.source.each(ctx, accounts, func(m stored) error {
		read := log.Read(accounts, m.sequence, m.subject, m.header, m.data)
		switch {
		case read.UnknownType:
			return fmt.Errorf("%s:%d is of the type %s, which only a newer version knows: use that version", accounts, m.sequence, read.Type)
		case read.Event == nil:
			r.report.NoEvents = append(r.report.NoEvents, m.sequence)
		case plain(read):
			r.changed[m.sequence] = true
			r.report.Rewritten[read.Type]++
			return r.texts.addSealedOf(read.Event)
		}
		return nil
	})
	if err == nil && r.report.Events != state.LastSeq {
		err = fmt.Errorf("%d of %d messages of %s can be read", r.report.Events, state.LastSeq, accounts)
	}
	return err
}

// underStreams reports whether a path is in the folder of any stream.
func underStreams(path string) bool {
	for dir := path; dir != "."; dir = filepath.Dir(dir) {
		if filepath.Base(filepath.Dir(dir)) == "streams" {
			return true
		}
	}
	return false
}

// plain reports whether an event is of an older version, which has in plain text what the
// newest version seals.
func plain(r eventlog.Record) bool {
	newest := events.Type(r.Event)
	return r.Type != newest && events.SealedMembers(r.Type) == nil && events.SealedMembers(newest) != nil
}

// copyRest copies what is not written anew. Views of the accounts are built again.
func (r *rewriting) copyRest(ctx context.Context) error {
	return copyTree(ctx, r.Data, r.copy, func(path string) bool {
		return !inside(path, identityFolder) && !inStream(path, r.renewed...)
	})
}

// openTarget opens the copy, in which streams.yaml now creates what is missing.
func (r *rewriting) openTarget(ctx context.Context) (err error) {
	if r.target, err = openStore(r.copy); err != nil {
		return err
	}
	if err := r.Streams.Apply(ctx, r.target.js, 0); err != nil {
		return err
	}
	return r.openKeys(ctx)
}

func (r *rewriting) openKeys(ctx context.Context) error {
	keks, err := r.keyFile()
	if err != nil {
		return err
	}
	ring := keyring.New(r.target.js, keks)
	r.keys = ring
	return ring.Check(ctx)
}

// writeAccounts writes every message of the accounts at its sequence.
func (r *rewriting) writeAccounts(ctx context.Context) error {
	older := eventlog.New(r.source.js, r.Codec)
	newer := eventlog.New(r.target.js, r.Codec)
	newer.Keys = &keys{r.keys, r.forgotten}
	_, err := r.source.each(ctx, accounts, func(m stored) error {
		if r.changed[m.sequence] {
			var err error
			if m, err = seal(ctx, older, newer, m); err != nil {
				return fmt.Errorf("%s:%d: %w", accounts, m.sequence, err)
			}
		}
		sequence, err := r.target.write(ctx, accounts, m)
		if err == nil && sequence != m.sequence {
			err = fmt.Errorf("%s:%d was written at %d", accounts, m.sequence, sequence)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.advanceConsumers(ctx)
}

// seal returns a message with its event in the newest version, sealed. Its headers stay but for
// the type.
func seal(ctx context.Context, older, newer *eventlog.Log, m stored) (stored, error) {
	read := older.Read(accounts, m.sequence, m.subject, m.header, m.data)
	if read.Event == nil {
		return m, read.Err
	}
	data, err := newer.Encode(ctx, read.Event)
	if err != nil {
		return m, err
	}
	m.data, m.header = data, maps.Clone(m.header)
	m.header.Set(eventlog.HeaderType, events.Type(read.Event))
	return m, nil
}

// keys are the keys to seal with. What belongs to an owner whose key was destroyed is sealed
// with a key that nobody keeps: it can be opened as little as before.
type keys struct {
	eventlog.KeyRing
	forgotten map[string]bool
}

// MakeKey implements eventlog.KeyRing.
func (k *keys) MakeKey(ctx context.Context, owner string) (cipher.AEAD, error) {
	key, err := k.KeyRing.MakeKey(ctx, owner)
	if !errors.Is(err, eventlog.ErrKeyDestroyed) {
		return key, err
	}
	k.forgotten[owner] = true
	unknown := make([]byte, chacha20poly1305.KeySize)
	if _, err := rand.Read(unknown); err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(unknown)
}

// advanceConsumers lets the shared consumers begin after what they had acknowledged.
func (r *rewriting) advanceConsumers(ctx context.Context) error {
	from, err := r.source.js.Stream(ctx, accounts)
	if err != nil {
		return err
	}
	to, err := r.target.js.Stream(ctx, accounts)
	if err != nil {
		return err
	}
	declared := r.Streams.SharedConsumers(accounts)
	for info := range from.ListConsumers(ctx).Info() {
		if !slices.Contains(declared, info.Name) {
			if info.Config.Durable != "" {
				r.report.Dropped = append(r.report.Dropped, info.Name)
			}
			continue
		}
		if info.AckFloor.Stream == 0 {
			continue
		}
		if _, err := to.ResetConsumerToSequence(ctx, info.Name, info.AckFloor.Stream+1); err != nil {
			return fmt.Errorf("consumer %s: %w", info.Name, err)
		}
	}
	return nil
}

// sealedOf returns the sealed members of an event as JSON, without the name, which is no
// secret by itself: other texts may hold the same words.
func sealedOf(e events.Event) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	sealed := events.SealedMembers(events.Type(e))
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { return name == "name" || !slices.Contains(sealed, name) })
	return all, nil
}
