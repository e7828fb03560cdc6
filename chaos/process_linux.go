package main

import (
	"os/exec"
	"syscall"
)

// dieWithUs makes sure that no process is left behind, whatever becomes of us.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
