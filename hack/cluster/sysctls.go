package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tuned are the machine's settings that kubelet changes when it starts.
var tuned = []string{
	"vm/overcommit_memory",
	"vm/panic_on_oom",
	"kernel/panic",
	"kernel/panic_on_oops",
	"kernel/keys/root_maxkeys",
	"kernel/keys/root_maxbytes",
}

func sysctlRecord() string { return filepath.Join(machineDir, "sysctls.json") }

func sysctlFile(name string) string { return filepath.Join("/proc/sys", name) }

// rememberSysctls records the machine's settings before the first kubelet starts.
func rememberSysctls() error {
	if exists(sysctlRecord()) {
		return nil
	}
	values := map[string]string{}
	for _, name := range tuned {
		value, err := os.ReadFile(sysctlFile(name))
		if err != nil {
			return fmt.Errorf("read sysctl: %w", err)
		}
		values[name] = strings.TrimSpace(string(value))
	}
	record, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return writeWhole(sysctlRecord(), record, 0o644)
}

// restoreSysctls restores what rememberSysctls recorded.
func restoreSysctls() error {
	record, err := os.ReadFile(sysctlRecord())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var values map[string]string
	if err := json.Unmarshal(record, &values); err != nil {
		return fmt.Errorf("read %s: %w", sysctlRecord(), err)
	}
	for name, value := range values {
		if err := os.WriteFile(sysctlFile(name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("restore sysctl: %w", err)
		}
	}
	return nil
}
