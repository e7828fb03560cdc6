package audit

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"

	"lonja/kit/eventlog"
)

// mention is that an event has an id or, with byCommand, that its command leads to it. Two
// events must not mention the same one: then they have one id, or one command had two effects.
//
// An event's own id follows from its command's. So one mention is enough for both, unless it
// does not follow: then the id that would is mentioned as well.
type mention struct {
	of        uint64 // hash of the id
	stream    uint8  // number of the stream in streams.yaml
	byCommand bool
	seq       uint64
}

// mentionSize is how long an encoded mention is.
const mentionSize = 17

func (x mention) encode() (b [mentionSize]byte) {
	binary.BigEndian.PutUint64(b[:], x.of)
	binary.BigEndian.PutUint64(b[8:], x.seq)
	b[16] = x.stream << 1
	if x.byCommand {
		b[16] |= 1
	}
	return b
}

func decodeMention(b []byte) mention {
	return mention{of: binary.BigEndian.Uint64(b), seq: binary.BigEndian.Uint64(b[8:]), stream: b[16] >> 1, byCommand: b[16]&1 == 1}
}

// compactID is an id in 16 bytes.
type compactID [16]byte

func compact(s string) (k compactID) {
	copy(k[:], eventlog.CompactID(s))
	return k
}

// canonical is an event's id in 16 bytes, however it is written; see eventlog.EventID.
func canonical(id string) (k compactID) {
	if raw, err := base64.RawURLEncoding.DecodeString(id); err == nil && len(raw) == len(k) {
		return compactID(raw)
	}
	return compact(id)
}

// addMentions notes which ids an event mentions.
func (m *model) addMentions(stream uint8, r eventlog.Record) error {
	own, follows := canonical(r.ID), compact(eventlog.LegacyEventID(r.Causation))
	if err := m.addMention(own, mention{stream: stream, seq: r.Sequence}); err != nil || own == follows {
		return err
	}
	return m.addMention(follows, mention{stream: stream, seq: r.Sequence, byCommand: true})
}

func (m *model) addMention(id compactID, x mention) error {
	x.of = hashOf(string(id[:]))
	encoded := x.encode()
	return m.mentions.add(x.of, encoded[:])
}

// checkMentions checks that no id is mentioned twice. Keep gets every mention, for a later
// audit; it may be nil.
func (m *model) checkMentions(ctx context.Context, keep func([]byte) error) error {
	return m.mentions.eachPart(func(records [][]byte) error {
		all := make([]mention, len(records))
		for i, r := range records {
			if len(r) != mentionSize {
				return errCutOff
			}
			if all[i] = decodeMention(r); keep != nil {
				if err := keep(r); err != nil {
					return err
				}
			}
		}
		slices.SortFunc(all, mention.compare)
		for len(all) > 0 {
			same := 1
			for same < len(all) && all[same].of == all[0].of {
				same++
			}
			if err := m.checkSame(ctx, all[:same]); err != nil {
				return err
			}
			all = all[same:]
		}
		return ctx.Err()
	})
}

// compare orders mentions by id, and then as the streams are read.
func (x mention) compare(y mention) int {
	return cmp.Or(cmp.Compare(x.of, y.of), cmp.Compare(x.stream, y.stream), cmp.Compare(x.seq, y.seq))
}

// checkSame reads the events that mention ids with one hash, and reports what they share.
func (m *model) checkSame(ctx context.Context, all []mention) error {
	if len(all) == 1 {
		return nil
	}
	events, commands := map[compactID]string{}, map[compactID]string{}
	names, last := m.eventStreams(), mention{}
	for _, x := range all {
		if x.stream == last.stream && x.seq == last.seq {
			continue // it mentions both its own id and its command's
		}
		last = x
		r, err := m.log.At(ctx, names[x.stream], x.seq)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", names[x.stream], x.seq, err)
		}
		here, id, command := eventlog.Position(r.Stream, r.Sequence), canonical(r.ID), compact(r.Causation)
		if before, twice := events[id]; twice {
			m.violateAt(r, Once, "has the id %s, which %s has too", r.ID, before)
		} else {
			events[id] = here
		}
		if before, twice := commands[command]; twice {
			m.violateAt(r, Once, "was caused by command %s, which already had an effect at %s; a command has at most one", r.Causation, before)
		} else {
			commands[command] = here
		}
	}
	return nil
}
