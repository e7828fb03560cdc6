// Package rewrite makes a copy of a shop's data in which nothing that earlier versions recorded
// in plain text is left: names, addresses, password hashes, the issuer's secret and the seeds of
// its keys.
//
// Events are never changed where they are, so there is no other way to be rid of them. The copy
// has the same events in the same order, with the same sequences, ids and times. Only events of
// older versions that have sealed members in the newest one differ: they are recorded in that
// version, sealed. So receipts, consistency tokens, sessions, keyed requests and the places that
// dead letters name stay what they are.
//
// What changes, and who depends on it:
//
//   - The stream of the accounts is a new one, created now. Of views, only identity's read it.
//     They are left out of the copy, and the service builds them again.
//   - Its messages are stored now. The time of an event is in its headers. Only of deferred
//     commands does anybody use the other one, and they are on another stream.
//   - The shared consumers of that stream begin where they had acknowledged everything before,
//     so a reaction may get an event again, as after a crash.
//   - A dead letter that holds such an event keeps its place, and loses headers and data, like
//     one whose message was too large. Ids of dead letters may change.
//   - A program of an earlier version cannot go on with the copy.
//
// An id of an account that follows from its address stays: it is part of orders, and a keyed
// hash, so it tells nothing to anybody without the issuer's secret.
package rewrite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lonja/audit"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/natsembed"
	"lonja/kit/service"
	"lonja/kit/streams"
)

// Config says what to copy. All fields but KEKs are required.
type Config struct {
	Data string // the data folder of a shop that is stopped; nothing in it is changed
	Out  string // the folder of the copy, which must not exist
	// KEKs is the file of the key-encryption keys. "" means the file kek in Out: it is Data's,
	// or made when Data has none.
	KEKs    string
	Streams *streams.Config
	Codec   eventlog.Codec
	// Services returns new services, whose views in the copy are audited.
	Services func() []*service.Service
	Progress func(doing string) // may be nil
}

// Report says what was done.
type Report struct {
	Events    uint64            // messages of the stream of the accounts
	Rewritten map[string]uint64 // of them, by the type that they had
	Forgotten uint64            // of them, those of erased people: sealed with no key
	NoEvents  []uint64          // sequences of messages that are no events; they are as they were
	Emptied   int               // dead letters, and messages being retried, that lost their data
	Dropped   []string          // consumers of the stream that streams.yaml does not declare
	Texts     int               // addresses, hashes and secrets that were searched for
	Files     int               // files of the copy that were searched
	MadeKEK   string            // the path of a file of key-encryption keys that was made, "" for none
	Audit     *audit.Report     // of the copy, without violations
}

// ErrPlainText reports that plain text is left somewhere that Run cannot rewrite.
var ErrPlainText = errors.New("plain text is left")

// partial is added to the name of the copy until it is complete.
const partial = ".partial"

// Run makes the copy. Out exists only when it is complete, has been compared event by event
// with Data, audited and searched; until then everything is in Out.partial. After an error
// that folder is removed. When the process was killed it is left, and Run says to remove it.
// Run needs space for a copy of Data and another one of the stream of the accounts.
func Run(ctx context.Context, c Config) (*Report, error) {
	r := &rewriting{Config: c, report: &Report{Rewritten: map[string]uint64{}}, texts: newTexts(),
		older: filepath.Join(c.Out+partial, "older"), copy: filepath.Join(c.Out+partial, "copy"), changed: map[uint64]bool{}, forgotten: map[string]bool{}}
	if err := r.checkFolders(); err != nil {
		return nil, err
	}
	release, err := natsembed.LockDir(filepath.Join(c.Data, natsFolder))
	if err != nil {
		return nil, fmt.Errorf("the shop must be stopped: %w", err)
	}
	defer release()
	if err := r.makePartial(); err != nil {
		return nil, err
	}
	if err := errors.Join(r.run(ctx), ctx.Err()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.Out+partial))
	}
	if err := r.complete(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.Out+partial))
	}
	if err := os.RemoveAll(c.Out + partial); err != nil {
		return r.report, fmt.Errorf("%s is complete, but remove %s: it holds plain text: %w", c.Out, c.Out+partial, err)
	}
	return r.report, nil
}

// rewriting is one run.
type rewriting struct {
	Config
	older, copy string // folders: the streams to rewrite, as they were, and the copy
	report      *Report
	texts       *texts
	renewed     []string        // the streams that are written anew
	changed     map[uint64]bool // sequences of rewritten events
	forgotten   map[string]bool // owners of destroyed keys
	source      *store          // on older
	target      *store          // on copy
	keys        eventlog.KeyRing
}

// checkFolders checks that there is something to copy, and that the copy will not be part of it.
func (r *rewriting) checkFolders() error {
	if _, err := os.Stat(filepath.Join(r.Data, natsFolder, "jetstream")); err != nil {
		return fmt.Errorf("%s is not the data folder of a shop: %w", r.Data, err)
	}
	data, err := filepath.Abs(r.Data)
	if err != nil {
		return err
	}
	out, err := filepath.Abs(r.Out)
	if err == nil && inside(out, data) {
		err = fmt.Errorf("%s is in %s: choose a folder that is not", r.Out, r.Data)
	}
	return err
}

func (r *rewriting) makePartial() error {
	if _, err := os.Lstat(r.Out); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s exists: choose a folder that does not", r.Out), err)
	}
	err := os.Mkdir(r.Out+partial, 0o700)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is left of an earlier run, or another one is under way: remove it if none is", r.Out+partial)
	}
	return err
}

func (r *rewriting) run(ctx context.Context) (err error) {
	defer func() { r.closeStores() }()
	for _, step := range []struct {
		doing string
		do    func(context.Context) error
	}{
		{"reading the accounts", r.openSource},
		{"looking for dead letters of them", r.findDeadLetters},
		{"copying everything else", r.copyRest},
		{"opening the copy", r.openTarget},
		{"writing the accounts, sealed", r.writeAccounts},
		{"writing dead letters", r.writeDeadLetters},
		{"opening the copy again", r.reopenTarget},
		{"comparing both logs", r.compare},
		{"auditing the copy", r.audit},
		{"searching the messages of the copy", r.searchMessages},
		{"searching the files of the copy", r.searchFiles},
	} {
		if r.Progress != nil {
			r.Progress(step.doing)
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.doing, err)
		}
	}
	return nil
}

// audit proves the copy as it will be opened.
func (r *rewriting) audit(ctx context.Context) error {
	config := audit.Config{JetStream: r.target.js, Codec: r.Codec, Streams: r.Streams, Services: r.Services()}
	for _, s := range config.Services {
		if _, err := os.Stat(filepath.Join(r.copy, s.Name)); err == nil {
			config.Dir = r.copy // there are views to compare
		}
	}
	report, err := audit.Run(ctx, config)
	if err != nil {
		return err
	}
	if n := report.Total(); n > 0 {
		return fmt.Errorf("%d violations, which lonja audit may find in %s too; the first is %s", n, r.Data, report.Violations[0])
	}
	r.report.Audit = report
	return nil
}

// keyFile returns the file of the key-encryption keys, and makes it when it is missing.
func (r *rewriting) keyFile() (*keyring.KEKs, error) {
	path := r.KEKs
	if path == "" {
		path = filepath.Join(r.copy, kekFile)
	}
	made, err := keyring.CreateKEKs(path)
	if err != nil {
		return nil, err
	}
	if made {
		r.report.MadeKEK = path
		if r.KEKs == "" {
			r.report.MadeKEK = filepath.Join(r.Out, kekFile)
		}
	}
	return keyring.LoadKEKs(path)
}

// complete gives the copy its name, once all of it is on the disk.
func (r *rewriting) complete() error {
	if err := syncTree(r.copy); err != nil {
		return err
	}
	if err := os.Rename(r.copy, r.Out); err != nil {
		return err
	}
	return syncPath(filepath.Dir(r.Out))
}
