package keyring

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// Destroy destroys the key of an owner, who then never gets another one, whether there was a
// key or not. It may be repeated, and must be after an error, which is errs.Unavailable: the
// key may then be destroyed already and still be on the disk. This ring forgets the key at
// once, others within CacheTTL.
func (r *Ring) Destroy(ctx context.Context, owner string) error {
	if err := eventlog.CheckEntityID("owner of a key", owner); err != nil {
		return err
	}
	tombstone, err := r.bury(ctx, owner)
	if err != nil {
		return unavailable(err, "the key of %s is not destroyed yet", owner)
	}
	r.forget(owner)
	if err := r.stream.eraseBefore(ctx, owner, tombstone); err != nil {
		return unavailable(err, "the key of %s is destroyed, but not yet erased from the disk", owner)
	}
	return nil
}

// GiveUp destroys the key of an owner if the stream has lost it, so that what it sealed is
// withheld, instead of making all readers wait. The error is errs.Conflict if the stream has
// the key. Otherwise GiveUp is as Destroy.
func (r *Ring) GiveUp(ctx context.Context, owner string) error {
	if err := eventlog.CheckEntityID("owner of a key", owner); err != nil {
		return err
	}
	_, err := r.stream.append(ctx, owner, 0, Message{Destroyed: true})
	if eventlog.IsConflict(err) {
		last, err := r.stream.last(ctx, Subject(owner))
		if err != nil {
			return unavailable(err, "the key of %s is not given up yet", owner)
		}
		if !last.Destroyed {
			return errs.New(errs.Conflict, "%s has the key of %s, at %s", Stream, owner, eventlog.Position(Stream, last.sequence))
		}
		return r.Destroy(ctx, owner) // an earlier attempt may have been interrupted
	}
	if err != nil {
		return unavailable(err, "the key of %s is not given up yet", owner)
	}
	r.forget(owner)
	return nil
}

// bury stores that an owner's key was destroyed, and returns the sequence of that message.
func (r *Ring) bury(ctx context.Context, owner string) (uint64, error) {
	for {
		last, err := r.stream.last(ctx, Subject(owner))
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, err
		}
		if last.Destroyed {
			return last.sequence, nil
		}
		sequence, err := r.stream.append(ctx, owner, last.sequence, Message{Destroyed: true})
		if !eventlog.IsConflict(err) {
			return sequence, err
		}
	}
}

// Owners returns the owners that have a key or had one, in no order.
func (r *Ring) Owners(ctx context.Context) ([]string, error) { return r.stream.owners(ctx) }

// Rewrap wraps all keys by the first key-encryption key of the file and erases from the disk
// what others have wrapped, and what a Destroy that was interrupted has left. Progress, which
// may be nil, is called after each owner. It is safe while services run, and may be
// interrupted and repeated. Afterwards the file's other keys can be removed, see RetireKEKs;
// but first of all from the copies of the file that services still have.
func (r *Ring) Rewrap(ctx context.Context, progress func(done, of int)) error {
	for { // until nobody has made a key by an older key-encryption key meanwhile
		owners, err := r.Owners(ctx)
		if err != nil {
			return unavailable(err, "the stream %s does not answer", Stream)
		}
		slices.Sort(owners)
		changed := false
		for i, owner := range owners {
			rewrapped, err := r.rewrap(ctx, owner)
			if err != nil {
				return err
			}
			if changed = changed || rewrapped; progress != nil {
				progress(i+1, len(owners))
			}
		}
		if !changed {
			return nil
		}
	}
}

// rewrap wraps one key, unless it is wrapped by the first key-encryption key already.
func (r *Ring) rewrap(ctx context.Context, owner string) (changed bool, err error) {
	for {
		last, err := r.stream.last(ctx, Subject(owner))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, nil
		}
		if err != nil {
			return false, unavailable(err, "the key of %s cannot be wrapped anew now", owner)
		}
		sequence := last.sequence
		if !last.Destroyed {
			sequence, changed, err = r.replace(ctx, last)
		}
		if eventlog.IsConflict(err) {
			continue // it was destroyed, or wrapped by another process
		}
		if err == nil {
			err = r.stream.eraseBefore(ctx, owner, sequence)
		}
		if err != nil {
			return changed, unavailable(err, "the key of %s is not wrapped anew yet", owner)
		}
		return changed, nil
	}
}

// replace stores a key that is wrapped by the first key-encryption key. It returns the
// sequence of the message that counts.
func (r *Ring) replace(ctx context.Context, old stored) (sequence uint64, changed bool, err error) {
	by, err := r.keks.wrapping()
	if err != nil || by.id == old.KEK {
		return old.sequence, false, err
	}
	raw, err := r.unwrap(old)
	if err != nil {
		return 0, false, err
	}
	wrapped, err := r.wrap(old.owner, raw)
	if err != nil {
		return 0, false, err
	}
	sequence, err = r.stream.append(ctx, old.owner, old.sequence, wrapped)
	return sequence, err == nil, err
}
