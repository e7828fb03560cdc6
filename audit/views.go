package audit

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite" // the driver

	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
	"lonja/kit/streams"
)

// checkViews rebuilds every view and compares it with the file in each replica's
// folder, at the positions that the file's checkpoint holds.
func (a *audit) checkViews(ctx context.Context) error {
	if a.Dir == "" {
		return nil
	}
	if _, err := os.Stat(a.Dir); err != nil {
		return fmt.Errorf("views folder: %w", err)
	}
	for _, s := range a.Services {
		for _, v := range s.Views {
			if err := a.checkView(ctx, s, v); err != nil {
				return fmt.Errorf("view %s/%s: %w", s.Name, v.Name(), err)
			}
		}
	}
	if len(a.report.Views) == 0 {
		return fmt.Errorf("there are no views in %s: give the data folder of the services", a.Dir)
	}
	return nil
}

// comparison compares one view's files of all replicas with the rebuilt view.
type comparison struct {
	*audit
	service *service.Service
	view    *projection.View
	dir     string            // temporary folder
	rebuilt map[string]string // paths of rebuilt views, by position
}

func (a *audit) checkView(ctx context.Context, s *service.Service, v *projection.View) (err error) {
	folders, err := filepath.Glob(filepath.Join(a.Dir, s.Name, "*"))
	if err != nil {
		return err
	}
	c := comparison{audit: a, service: s, view: v, rebuilt: map[string]string{}}
	if c.dir, err = os.MkdirTemp("", "lonja-audit-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	for _, folder := range folders {
		summary := ViewSummary{View: s.Name + "/" + filepath.Base(folder) + "/" + v.Name()}
		if err := c.checkFile(ctx, folder, &summary); err != nil {
			return err
		}
		a.report.Views = append(a.report.Views, summary)
	}
	return nil
}

func (c *comparison) checkFile(ctx context.Context, folder string, summary *ViewSummary) error {
	files, err := c.view.Files(folder)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		summary.Note = "has no file with the current schema"
		return nil
	}
	own := filepath.Join(c.dir, filepath.Base(folder)+".db")
	if err := copyFile(ctx, files[0], own); err != nil {
		if _, gone := os.Stat(files[0]); errors.Is(gone, os.ErrNotExist) {
			summary.Note = "was replaced during the audit; audit again"
			return nil
		}
		c.violate(Violation{Check: Views, View: summary.View, Problem: "cannot be read: " + err.Error()})
		return nil
	}
	defer os.Remove(own)
	db, err := open(own, "")
	if err != nil {
		return err
	}
	defer db.Close()
	position, sound, err := c.checkCheckpoints(ctx, db, summary)
	if err != nil {
		return err
	}
	if summary.Note = c.incomparable(position, sound); summary.Note != "" {
		return nil
	}
	rebuilt, err := c.replay(ctx, position)
	if err != nil {
		return err
	}
	if err := c.dropOutdated(ctx, own, rebuilt); err != nil {
		return err
	}
	d := diff{db: db, report: func(format string, args ...any) {
		c.violate(Violation{Check: Views, View: summary.View, Problem: fmt.Sprintf(format, args...)})
	}}
	summary.Rows, err = d.compare(ctx, rebuilt)
	return err
}

// incomparable says why a file cannot be compared, "" if it can.
func (c *comparison) incomparable(position projection.Token, sound bool) string {
	switch {
	case !sound:
		return "not compared: it was built from another log"
	case c.service.Sealed && c.Keys == nil:
		return "not compared: its events are sealed, and there are no keys to open them"
	case c.service.Sealed && position[identityStream] < c.lastErased:
		// Their key is destroyed, so the rows that the view still has cannot be built again.
		return "not compared: it has yet to forget somebody; audit again when it has caught up"
	}
	return ""
}

// checkCheckpoints returns a file's position on the streams. Sound reports whether
// the log holds the event at that position which the view saw.
func (c *comparison) checkCheckpoints(ctx context.Context, db *sql.DB, summary *ViewSummary) (position projection.Token, sound bool, err error) {
	rows, err := db.QueryContext(ctx, "SELECT stream, sequence, event FROM checkpoint")
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	position, sound = projection.Token{}, true
	for rows.Next() {
		var stream, event string
		var seq uint64
		if err := rows.Scan(&stream, &seq, &event); err != nil {
			return nil, false, err
		}
		at, err := c.log.At(ctx, stream, seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, false, err
		}
		aged := false
		if err != nil {
			if aged, err = c.isAged(ctx, stream, seq); err != nil {
				return nil, false, err
			}
		}
		if !aged && at.ID != event {
			sound = false
			c.violate(Violation{Check: Views, Stream: stream, Sequence: seq, Entity: "view " + summary.View,
				Problem: fmt.Sprintf("the view saw event %q, but the log holds %q", event, at.ID)})
		}
		position[stream] = seq
	}
	return position, sound, errors.Join(rows.Err(), c.checkLag(ctx, position, summary))
}

// isAged reports whether a stream has removed the event at a sequence by its age.
func (c *comparison) isAged(ctx context.Context, name string, seq uint64) (bool, error) {
	if c.ages[name] == 0 {
		return false, nil
	}
	stream, err := c.JetStream.Stream(ctx, name)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", name, err)
	}
	return seq < stream.CachedInfo().State.FirstSeq, nil
}

// dropOutdated deletes the rows of both files that the view would delete now: a live view may not
// have done it yet, and a rebuilt one lacks those whose events are gone.
func (c *comparison) dropOutdated(ctx context.Context, files ...string) error {
	if c.view.Outdated() == "" {
		return nil
	}
	for _, path := range files {
		db, err := open(path, "")
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, c.view.Outdated(), c.now.UnixMicro())
		if err = errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	return nil
}

// sources returns what the view reads, with the partitions.
func (c *comparison) sources() (all []projection.Source) {
	for _, src := range c.view.Sources() {
		for _, stream := range c.Streams.Layout.Partitions(src.Stream) {
			on := projection.Source{Stream: stream}
			for _, subject := range src.Subjects {
				on.Subjects = append(on.Subjects, streams.SubjectOn(stream, subject))
			}
			all = append(all, on)
		}
	}
	return all
}

// checkLag counts the events that the view has not applied yet.
func (c *comparison) checkLag(ctx context.Context, position projection.Token, summary *ViewSummary) error {
	for _, src := range c.sources() {
		behind, err := pending(ctx, c.JetStream, src, position[src.Stream])
		if err != nil {
			return err
		}
		if summary.Behind += behind; behind > 0 {
			c.violateIfSettled(Violation{Stream: src.Stream, Entity: "view " + summary.View, Problem: fmt.Sprintf("is %d events behind", behind)})
		}
	}
	return nil
}

// pending returns the number of messages that a source has after a sequence.
func pending(ctx context.Context, js jetstream.JetStream, src projection.Source, after uint64) (uint64, error) {
	cons, err := js.OrderedConsumer(ctx, src.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: src.Subjects, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1,
		InactiveThreshold: time.Second})
	if err != nil {
		return 0, err
	}
	return cons.CachedInfo().NumPending, nil
}

// replay builds the view from the log up to a position. Replicas at the same
// position share the result.
func (c *comparison) replay(ctx context.Context, position projection.Token) (path string, err error) {
	if path, done := c.rebuilt[position.String()]; done {
		return path, nil
	}
	path = filepath.Join(c.dir, fmt.Sprintf("rebuilt-%d.db", len(c.rebuilt)))
	c.rebuilt[position.String()] = path
	log := c.log
	if c.service.Sealed {
		log = eventlog.New(c.JetStream, c.Codec)
		log.Layout = c.Streams.Layout
		var stop context.CancelCauseFunc
		ctx, stop = context.WithCancelCause(ctx)
		defer stop(nil)
		log.Keys = failingKeys{c.Keys, stop}
	}
	err = c.view.Replay(ctx, projection.Config{JetStream: c.JetStream, Log: log}, path, position)
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	return path, err
}

// failingKeys stops a replay when a key cannot be had now. A view would wait for it, perhaps
// for ever.
type failingKeys struct {
	eventlog.KeyRing
	stop context.CancelCauseFunc
}

// Key implements eventlog.KeyRing.
func (k failingKeys) Key(owner string) (cipher.AEAD, error) {
	key, err := k.KeyRing.Key(owner)
	if err != nil && !errors.Is(err, eventlog.ErrKeyDestroyed) {
		k.stop(err)
	}
	return key, err
}

// copyFile checks a view's file for damage and copies a snapshot of it. The service
// may be writing to it. copyFile does not change the file. If no service has it
// open, SQLite leaves an empty -wal and a -shm file next to it, which are harmless.
func copyFile(ctx context.Context, from, to string) error {
	db, err := open(from, "&mode=ro")
	if err != nil {
		return err
	}
	defer db.Close()
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return errors.New("the file is damaged: " + found)
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	return err
}

func open(path, options string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(5000)"+options)
	if err == nil {
		db.SetMaxOpenConns(1) // ATTACH holds for one connection only
	}
	return db, err
}
