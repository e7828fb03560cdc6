// Package baddisk makes open files of this process fail, the way files on a bad disk
// do. Tests need no permission to mount a disk for it.
//
// It works on Linux, for files that the process has open: their file descriptors are
// redirected to a device that fails. The file on the disk stays as it is. On other
// systems [Inject] fails the test.
package baddisk

import "testing"

// Fault is a way in which a file can fail. Its value is the path of a device.
type Fault string

// The faults.
const (
	NoSpace Fault = "/dev/full" // every write fails with ENOSPC
	NoSync  Fault = "/dev/null" // every sync fails with EINVAL, and written data is lost
)

// Inject makes a file fail that this process has open under this absolute path. From
// now on, what the process writes to it is lost. A file that is opened later works. It
// ends the test if the file is not open.
func Inject(t testing.TB, fault Fault, file string) {
	t.Helper()
	inject(t, fault, file)
}
