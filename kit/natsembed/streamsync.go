package natsembed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// streamSync syncs one stream's blocks for all who wait at the same time. The first caller's
// sync begins at once. Callers that come while it runs share the next one.
//
// Why a message is on the disk when await returns: an unreplicated stream hands each message
// to the operating system before it acknowledges or delivers it. But nothing here rests on
// that. A round reads the records that stand in the files, syncs these files, and only then
// counts the sequences that it had read. A stream's records stand in the order of their
// sequences, and every file before the first of b.blocks was synced after its last record.
type streamSync struct {
	name, dir string // the stream, and the folder of its blocks
	group     *groupSync

	mu      sync.Mutex
	synced  uint64        // every message up to this one is on the disk
	pending int           // the first block that may not be synced; 0 means that all may be
	next    *round        // for those who come now; nil if nobody has
	running chan struct{} // closed when no round runs any more; nil if none runs
	began   time.Time     // when the round that runs now began
	closed  bool

	// Only the round that runs touches these.
	blocks []*block    // that are not synced to their ends yet; the last one is the stream's last
	folder os.FileInfo // of the blocks; nil until it and those above it were synced
	buffer []byte
}

// round is one sync, which all who came before it share.
type round struct {
	waiters int
	done    chan struct{}
	end     uint64 // of the stream, as synced; valid after done
	err     error
}

// notThere is how long a message may be in no file of its stream until await gives up. While a
// stream is purged, the server moves its last block to another folder and back.
const notThere = time.Second

// await waits until a message is on the disk.
func (s *streamSync) await(ctx context.Context, seq uint64) error {
	for began := time.Now(); ; {
		end, err := s.awaitRound(ctx, seq)
		if err != nil || end >= seq {
			return err
		}
		if time.Since(began) > notThere || !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("stream %s ends at %d on the disk, before %d", s.name, end, seq)
		}
	}
}

// awaitRound waits for one round, unless the message is on the disk already, and returns the
// last sequence there.
func (s *streamSync) awaitRound(ctx context.Context, seq uint64) (end uint64, err error) {
	s.mu.Lock()
	if seq > 0 && seq <= s.synced {
		s.mu.Unlock()
		return seq, nil
	}
	r := s.joinLocked()
	r.waiters++
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.end, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// sweep syncs what nobody waits for.
func (s *streamSync) sweep() error {
	s.mu.Lock()
	r := s.joinLocked()
	s.mu.Unlock()
	<-r.done
	return r.err
}

// joinLocked returns the next round, which runs at once or after the one that runs now.
func (s *streamSync) joinLocked() *round {
	if s.next == nil {
		s.next = &round{done: make(chan struct{})}
	}
	r := s.next
	if s.closed {
		r.err = errStopped
		close(r.done)
		s.next = nil
	} else if s.running == nil {
		s.running, s.began = make(chan struct{}), time.Now()
		go s.run()
	}
	return r
}

// run runs rounds until nobody waits.
func (s *streamSync) run() {
	for {
		s.mu.Lock()
		r := s.next
		s.next = nil
		if r == nil {
			close(s.running)
			s.running = nil
			s.mu.Unlock()
			return
		}
		began := time.Now()
		s.began = began
		s.mu.Unlock()
		r.end, r.err = s.sync()
		if r.err != nil {
			r.err = s.group.stop(fmt.Errorf("stream %s: %w", s.name, r.err))
		} else if r.err = s.group.stopped(); r.err == nil && r.waiters > 0 {
			s.group.observe(r.waiters, time.Since(began))
		}
		close(r.done)
	}
}

// sync syncs every message that the stream's files hold now, and returns the last one's
// sequence.
func (s *streamSync) sync() (end uint64, err error) {
	if err := s.group.stopped(); err != nil {
		return 0, err // after a failed sync, another one may succeed and prove nothing
	}
	started, err := s.findBlocks()
	if err != nil {
		return 0, err
	}
	if end, err = s.read(); err == nil && end == 0 && s.synced == 0 && s.pending > 0 {
		// The stream's last blocks are empty: where it ends stands in an earlier one.
		s.forget()
		if started, err = s.findBlocks(); err == nil {
			end, err = s.read()
		}
	}
	if err != nil {
		return 0, err
	}
	for _, b := range s.blocks {
		if err := b.sync(s.group.fsync); err != nil {
			return 0, err
		}
	}
	if started || s.folder == nil {
		if err := s.syncNames(); err != nil {
			return 0, err
		}
	}
	return s.finish(end), nil
}

// read reads on in all blocks, and returns the highest sequence.
func (s *streamSync) read() (end uint64, err error) {
	for _, b := range s.blocks {
		if err := b.read(s.buffer); err != nil {
			return 0, err
		}
		end = max(end, b.last)
	}
	return end, nil
}

// finish notes that all blocks are synced, and returns the last sequence. Only the last block
// will be written to.
func (s *streamSync) finish(end uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.blocks); n > 0 {
		closeAll(s.blocks[:n-1])
		s.blocks = []*block{s.blocks[n-1]}
		s.pending = s.blocks[0].number
		s.synced = end // lower than before only if the stream was removed, and created again
	}
	return s.synced
}

// forget makes the next sync begin with the stream's first block.
func (s *streamSync) forget() {
	closeAll(s.blocks)
	s.blocks, s.folder = nil, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced, s.pending = 0, 0
}

// findBlocks makes sure that s.blocks has every block that was written to since the last sync.
// Started is true if there are new files, whose names may not be on the disk. The server gives
// a new block the next number, so unless the last block has gone, that name is all it takes to
// find one.
func (s *streamSync) findBlocks() (started bool, err error) {
	if info, err := os.Stat(s.dir); ignoreMissing(err) != nil {
		return false, err
	} else if err != nil || !os.SameFile(s.folder, info) {
		s.folder = nil // the first time, and after a purge
	}
	if n := len(s.blocks); n > 0 {
		last := s.blocks[n-1]
		gone, err := last.replaced()
		if err != nil {
			return false, err
		}
		if _, err := os.Stat(blockPath(s.dir, last.number+1)); !gone && errors.Is(err, os.ErrNotExist) {
			return false, nil
		} else if ignoreMissing(err) != nil {
			return false, err
		}
	}
	numbers, err := blocksIn(s.dir)
	if err != nil {
		return false, err
	}
	if n := len(numbers); n > 0 && numbers[n-1] < s.pending {
		s.forget() // the stream was removed, and created again
	}
	return s.open(numbers)
}

// open opens the blocks that may hold what is not synced, unless they are open already. A block
// that was removed meanwhile held nothing that is needed: before, the server writes to a later
// one up to where the stream had reached.
func (s *streamSync) open(numbers []int) (started bool, err error) {
	before := map[int]*block{}
	for _, b := range s.blocks {
		gone, err := b.replaced()
		if err != nil {
			return false, err
		}
		if gone {
			b.file.Close()
		} else {
			before[b.number] = b
		}
	}
	s.blocks = s.blocks[:0]
	for _, number := range numbers {
		b := before[number]
		if b == nil && number < s.pending {
			continue
		}
		if b == nil {
			if b, err = openBlock(s.dir, number); errors.Is(err, os.ErrNotExist) {
				continue
			} else if err != nil {
				return false, err
			}
			started = true
		}
		s.blocks = append(s.blocks, b)
	}
	return started, nil
}

// syncNames syncs the names of new files. The first time, these are all of the stream's, and
// all folders up to the store's.
func (s *streamSync) syncNames() error {
	if s.folder != nil {
		return ignoreMissing(syncFile(s.dir, s.group.fsync))
	}
	info, err := os.Stat(s.dir)
	if err != nil {
		return ignoreMissing(err)
	}
	stream := filepath.Dir(s.dir)
	if err := syncTree(stream, s.group.fsync); err != nil {
		return err
	}
	for dir := stream; dir != s.group.dir; {
		dir = filepath.Dir(dir)
		if err := syncFile(dir, s.group.fsync); err != nil {
			return err
		}
	}
	s.folder = info
	return nil
}

// close closes the files when no round runs any more. Who comes later gets an error.
func (s *streamSync) close() {
	s.mu.Lock()
	s.closed = true
	running := s.running
	s.mu.Unlock()
	if running != nil {
		<-running
	}
	closeAll(s.blocks)
	s.blocks = nil
}

func closeAll(blocks []*block) {
	for _, b := range blocks {
		b.file.Close()
	}
}
