{application, greeter, [
    {description, "Greets every node that comes"},
    {vsn, "1.0.0"},
    {modules, [greeter_app, greeter]},
    {registered, [greeter_sup, greeter]},
    {mod, {greeter_app, []}},
    {applications, [kernel, stdlib]}
]}.
