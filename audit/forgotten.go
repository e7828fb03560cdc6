package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/kit/keyring"
)

// The checks of accounts that only the whole log can show: what identity's reactions must have
// done.

// checkAccounts runs after the last event was applied, and counts the accounts.
func (m *model) checkAccounts(ctx context.Context) error {
	m.report.Users = map[string]int{}
	underWay := map[events.UserID]bool{}
	for _, id := range slices.Sorted(maps.Keys(m.accounts.addresses)) {
		m.checkOwner(id, m.accounts.addresses[id], underWay)
	}
	keys, err := m.readKeys(ctx)
	if err != nil {
		return err
	}
	m.checkKeys(keys)
	for _, id := range slices.Sorted(maps.Keys(m.accounts.accounts)) {
		switch of := m.accounts.accounts[id]; {
		case of.erased != 0:
			m.report.Users["erased"]++
			if err := m.checkForgotten(ctx, id, of, keys, underWay); err != nil {
				return err
			}
		case of.last != nothing:
			m.report.Users["active"]++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(underWay)) {
		m.report.UnderWay++
		m.violateIfSettled(Violation{Entity: "user " + string(id), Problem: "a reaction to one of its events has not run yet"})
	}
	return nil
}

// checkOwner checks that an address that somebody has is the address of their account. It is
// not between the claim and what the claim was for, and between a change of address or an
// erasure and the release: a reaction is then under way. A claim that an erasure overtook is
// left as it is, until somebody wants the address.
func (m *model) checkOwner(id events.UserID, at *address, underWay map[events.UserID]bool) {
	if at.owner == "" {
		return
	}
	of := m.accounts.account(at.owner)
	if of.uses(id) || of.erased != 0 && of.address != id {
		return
	}
	if !m.reacted("email_claimed", at.since) || !m.reacted("email_changed", of.moved) || !m.reacted("erased", of.erased) {
		underWay[at.owner] = true
		return
	}
	why := "has another one"
	switch {
	case of.last == nothing:
		why = "was not registered"
	case of.erased != 0:
		why = "was erased"
	}
	m.violate(Violation{Check: Accounts, Stream: identityStream, Sequence: at.since, Entity: "user " + string(id),
		Problem: fmt.Sprintf("is claimed, and the reactions have run, but it still belongs to %s, who %s", at.owner, why)})
}

// checkKeys checks that nothing is sealed with a key that was lost. A key that was destroyed
// leaves a message.
func (m *model) checkKeys(keys map[string]uint64) {
	if keys == nil {
		return
	}
	for _, owner := range slices.Sorted(maps.Keys(m.sealed)) {
		if keys[keyring.Subject(owner)] == 0 {
			m.violate(Violation{Check: Accounts, Stream: identityStream, Sequence: m.sealed[owner],
				Problem: fmt.Sprintf("is sealed with the key of %s, which %s does not have; restore that stream", owner, keyring.Stream)})
		}
	}
}

// checkForgotten checks that the key of an erased person was destroyed: that the last message
// says so, and that no earlier one is left.
func (m *model) checkForgotten(ctx context.Context, id events.UserID, of *account, keys map[string]uint64, underWay map[events.UserID]bool) error {
	if keys == nil {
		return nil
	}
	if !m.reacted("erased", of.erased) {
		underWay[id] = true
		return nil
	}
	destroyed, err := m.destroyed(ctx, id)
	if err != nil {
		return err
	}
	problem := ""
	switch n := keys[keyring.Subject(string(id))]; {
	case !destroyed:
		problem = "was erased, and the reactions have run, but its key was not destroyed"
	case n > 1:
		problem = fmt.Sprintf("was erased and its key destroyed, but %d messages with the key are left on %s", n-1, keyring.Stream)
	default:
		return nil
	}
	m.violate(Violation{Check: Accounts, Stream: identityStream, Sequence: of.erased, Entity: "user " + string(id), Problem: problem})
	return nil
}

// reacted reports whether every reaction to an event of a user has run. Sequence 0 is no
// event.
func (m *model) reacted(event string, seq uint64) bool {
	if seq == 0 {
		return true
	}
	consumers := m.Streams.ConsumersOf(identityStream, "events.user.any."+event)
	return len(consumers) > 0 && !slices.ContainsFunc(consumers, func(c string) bool { return !m.reactions.ran(c, identityStream, seq) })
}

// readKeys counts the messages of each subject of the keys. It returns nil when the shop has
// no such stream. It runs after the reactions' progress was read.
func (m *model) readKeys(ctx context.Context) (map[string]uint64, error) {
	if !m.Streams.HasStream(keyring.Stream) {
		return nil, nil
	}
	stream, err := m.JetStream.Stream(ctx, keyring.Stream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", keyring.Stream, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(keyring.Subject("*")))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", keyring.Stream, err)
	}
	if info.State.Subjects == nil {
		return map[string]uint64{}, nil
	}
	return info.State.Subjects, nil
}

// destroyed reports whether the last message about a person's key says that it was destroyed.
func (m *model) destroyed(ctx context.Context, id events.UserID) (bool, error) {
	stream, err := m.JetStream.Stream(ctx, keyring.Stream)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", keyring.Stream, err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, keyring.Subject(string(id)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", keyring.Stream, err)
	}
	var key keyring.Message
	return json.Unmarshal(last.Data, &key) == nil && key.Destroyed, nil
}
