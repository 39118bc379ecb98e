{
  # One `node-gyp rebuild` builds the addon, the supervisor and (on Linux) the guest agent.
  "target_defaults": {
    # -Wno-maybe-uninitialized, -Wno-restrict: GCC 12 gives false alarms for std::variant and std::string.
    "include_dirs": ["native"],
    "cflags_cc!": ["-std=gnu++17", "-fno-rtti"],
    "cflags_cc": ["-std=c++20", "-fno-exceptions", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-maybe-uninitialized", "-Wno-restrict", "-fstack-protector-strong"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_ENABLE_CPP_EXCEPTIONS": "NO",
      "MACOSX_DEPLOYMENT_TARGET": "13.0",
      "OTHER_CPLUSPLUSFLAGS": ["-Wall", "-Wextra", "-Wno-unused-parameter"]
    }
  },
  "targets": [
    {
      "target_name": "msb",
      "sources": [
        "native/base/status.cc",
        "native/base/json.cc",
        "native/base/fd_util.cc",
        "native/base/process_identity.cc",
        "native/krun/libkrun.cc",
        "native/krun/krun_context.cc",
        "native/krun/vm_config.cc",
        "native/addon/addon.cc",
        "native/addon/napi_error.cc",
        "native/addon/host_probe.cc",
        "native/addon/vmm_spawn.cc",
        "native/addon/process_monitor.cc",
        "native/addon/process_watch.cc",
        "native/addon/micro_vm.cc",
        "native/addon/disk_clone.cc",
        "native/addon/memory_file.cc",
        "native/addon/background_thread.cc",
        "native/addon/file_lock.cc",
        "native/addon/file_lock_js.cc"
      ],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      # A terminated Worker can run no JavaScript; without the last define a callback that finds that out ends the process.
      "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "libraries": ["-ldl"]
    },
    {
      "target_name": "msb-vmm",
      "type": "executable",
      "sources": [
        "native/base/status.cc",
        "native/base/json.cc",
        "native/base/fd_util.cc",
        "native/base/process_identity.cc",
        "native/krun/libkrun.cc",
        "native/krun/krun_context.cc",
        "native/krun/vm_config.cc",
        "native/vmm/main.cc",
        "native/vmm/sanitize.cc",
        "native/vmm/boot_report.cc",
        "native/vmm/signal_pipe.cc",
        "native/vmm/channel.cc",
        "native/vmm/relay_channel.cc",
        "native/vmm/console_channel.cc",
        "native/vmm/landlock.cc",
        "native/vmm/confine.cc",
        "native/vmm/vm_entry.cc",
        "native/vmm/vm_process.cc",
        "native/vmm/supervisor.cc"
      ],
      "ldflags!": ["-rdynamic"],
      "libraries": ["-ldl", "-lpthread"],
      "conditions": [
        ["OS=='mac'", {
          # Hypervisor.framework asks for the entitlement; an ad-hoc signature carries it.
          "postbuilds": [
            {
              "postbuild_name": "sign",
              "action": ["codesign", "--sign", "-", "--force", "--entitlements", "native/vmm/entitlements.plist", "$BUILT_PRODUCTS_DIR/$EXECUTABLE_PATH"]
            }
          ]
        }]
      ]
    }
  ],
  "variables": {
    # The tests are in a checkout, not in the package.
    "has_tests": "<!(node -p \"+require('fs').existsSync('test/native/check_main.cc')\")"
  },
  "conditions": [
    ["OS=='linux' and has_tests==1", {
      "targets": [
        {
          "target_name": "msb-native-test",
          "type": "executable",
          "sources": [
            "native/base/status.cc",
            "native/base/json.cc",
            "native/base/frame.cc",
            "native/base/fd_util.cc",
            "native/base/process_identity.cc",
            "native/vmm/boot_report.cc",
            "native/agent/encoding.cc",
            "native/agent/messages.cc",
            "native/agent/input_window.cc",
            "native/agent/output_buffer.cc",
            "native/agent/output_reader.cc",
            "native/agent/small_file.cc",
            "native/agent/thrash_detector.cc",
            "native/agent/user_lookup.cc",
            "<!@(node -p \"require('fs').readdirSync('test/native').filter(f=>f.endsWith('.cc')).map(f=>'test/native/'+f).join(' ')\")"
          ],
          "ldflags!": ["-rdynamic"]
        }
      ]
    }],
    ["OS=='linux'", {
      "targets": [
        {
          "target_name": "msb-agent",
          "type": "executable",
          "sources": [
            "native/base/status.cc",
            "native/base/json.cc",
            "native/base/frame.cc",
            "<!@(node -p \"require('fs').readdirSync('native/agent').filter(f=>f.endsWith('.cc')).map(f=>'native/agent/'+f).join(' ')\")"
          ],
          "cflags_cc": ["-Os", "-ffunction-sections", "-fdata-sections", "-fno-rtti"],
          "ldflags!": ["-rdynamic"],
          "ldflags": ["-static", "-Wl,--gc-sections", "-s"]
        }
      ]
    }]
  ]
}
